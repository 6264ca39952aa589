/** Short messages at the edge of the page. Failures stay until they are dismissed, others until they could be read. */

import { html, useRef } from "../lib/view.js";
import { createStore, useStore } from "../lib/store.js";
import { Icon } from "./icons.js";

const toasts = createStore([]);
const SHORTEST = 5000;
const PER_LETTER = 80;
const MOST = 4; // of those that go by themselves
let last = 0;

/** @param {string} text @param {"plain" | "bad"} [tone] */
export function toast(text, tone = "plain") {
  const id = ++last;
  toasts.update((list) => [...withRoom(list.filter((entry) => entry.text !== text)), { id, text, tone }]);
  if (tone !== "bad") dismissLater(id, Math.max(SHORTEST, text.length * PER_LETTER));
}

function withRoom(list) {
  const plain = list.filter(({ tone }) => tone !== "bad");
  const kept = new Set(plain.slice(1 - MOST));
  return list.filter((entry) => entry.tone === "bad" || kept.has(entry));
}

/** Not while the pointer or the focus is on a message, which is being read or about to be used. */
function dismissLater(id, time) {
  setTimeout(() => {
    if (document.querySelector(".toasts:is(:hover, :focus-within)")) dismissLater(id, time);
    else dismiss(id);
  }, time);
}

/**
 * Run an action, and show its error if it fails.
 * @template T
 * @param {() => Promise<T>} action
 * @returns {Promise<T | undefined>}
 */
export async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    if (error.name !== "AbortError") toast(error.message, "bad");
    return undefined;
  }
}

function dismiss(id) {
  toasts.update((list) => list.filter((entry) => entry.id !== id));
}

/** All messages; the page has one such list, and an open dialog takes it over. */
export function Toasts() {
  const element = useRef(null);
  const list = useStore(toasts);
  const onDismiss = (id) => {
    const next = focusAfter(element.current, list.findIndex((entry) => entry.id === id));
    dismiss(id);
    next?.focus();
  };
  return html`<div ref=${element} class="toasts" role="status" aria-live="polite" aria-atomic="false">
    ${list.map(
      (entry) => html`<div key=${entry.id} class="toast" data-tone=${entry.tone}>
        <span id="toast-${entry.id}">${entry.text}</span>
        <button type="button" class="button quiet icon-only" aria-label="Dismiss" aria-describedby="toast-${entry.id}" onClick=${() => onDismiss(entry.id)}>
          <${Icon} name="close" />
        </button>
      </div>`,
    )}
  </div>`;
}

/** Where the focus goes when a message that has it is dismissed: to the next one, or back to what the page or dialog shows. */
function focusAfter(element, index) {
  const buttons = [...element.querySelectorAll("button")];
  if (document.activeElement !== buttons[index]) return null;
  return buttons[index + 1] ?? buttons[index - 1] ?? element.closest("dialog")?.querySelector("button") ?? document.querySelector("main");
}
