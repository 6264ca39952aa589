/** Short messages at the edge of the page. Errors stay until they are closed. */

import { html } from "../lib/view.js";
import { createStore, useStore } from "../lib/store.js";
import { Icon } from "./icons.js";

const toasts = createStore([]);
const SHOWN = 5000;
let last = 0;

/** @param {string} text @param {"plain" | "bad"} [tone] */
export function toast(text, tone = "plain") {
  const id = ++last;
  toasts.update((list) => [...list.slice(-3), { id, text, tone }]);
  if (tone !== "bad") setTimeout(() => dismiss(id), SHOWN);
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

/** All messages; the page has one such list. */
export function Toasts() {
  const list = useStore(toasts);
  return html`<div class="toasts" role="status" aria-live="polite">
    ${list.map(
      (entry) => html`<div key=${entry.id} class="toast" data-tone=${entry.tone}>
        <span>${entry.text}</span>
        <button class="button quiet icon-only" aria-label="Dismiss" onClick=${() => dismiss(entry.id)}>
          <${Icon} name="close" />
        </button>
      </div>`,
    )}
  </div>`;
}
