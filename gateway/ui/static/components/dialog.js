/** Dialogs: the browser's own element keeps the focus inside, and closes with Escape. */

import { html, useId, useLayoutEffect, useRef, useState } from "../lib/view.js";
import { createStore, useStore } from "../lib/store.js";
import { ErrorBox } from "./error_box.js";
import { Icon } from "./icons.js";
import { Toasts } from "./toasts.js";

/** The dialogs that are open, the last of them on top. While there is one, nothing outside of it can be used. */
export const openDialogs = createStore([]);

/**
 * A dialog that is open while it is rendered.
 * @param {{ title: string, onClose: () => void, children: unknown, wide?: boolean }} props
 */
export function Dialog({ title, onClose, children, wide }) {
  const element = useRef(null);
  const id = useId();
  const onTop = useStore(openDialogs, (list) => list.at(-1)) === id;
  useLayoutEffect(() => {
    openDialogs.update((list) => [...list, id]);
    element.current.showModal(); // with the focus on its first button
    element.current.querySelector("[data-focused]")?.focus();
    return () => {
      openDialogs.update((list) => list.filter((other) => other !== id));
      element.current?.close();
    };
  }, []);
  const onEscape = (event) => {
    if (event.target !== element.current) return; // a file input's
    event.preventDefault();
    onClose(); // at once: the event `close` comes later, and may be after the dialog was opened again
  };
  const onOutside = (event) => event.target === element.current && onClose();
  return html`<dialog ref=${element} class=${wide ? "dialog wide" : "dialog"} aria-labelledby=${id}
    onClose=${() => element.current && onClose()} onCancel=${onEscape} onMouseDown=${onOutside}>
    <header class="row">
      <h2 id=${id}>${title}</h2>
      <button type="button" class="button quiet icon-only" onClick=${onClose} aria-label="Close"><${Icon} name="close" /></button>
    </header>
    ${children}
    ${onTop && html`<${Toasts} />`}
  </dialog>`;
}

const question = createStore(null);

/**
 * Ask before something that cannot be undone. `action` runs if the user agrees; its error is shown in the dialog.
 * @param {{ title: string, text: unknown, verb: string, action: () => Promise<unknown>, danger?: boolean }} options
 */
export function confirmThen(options) {
  question.set(options);
}

/** The dialog of `confirmThen`; the page has one. */
export function Confirmation() {
  const asked = useStore(question);
  return asked && html`<${Question} ...${asked} />`;
}

function Question({ title, text, verb, action, danger }) {
  const [running, setRunning] = useState(false);
  const [error, setError] = useState(null);
  const close = () => question.set(null);
  const agree = async () => {
    setRunning(true);
    try {
      await action();
      close();
    } catch (failure) {
      setError(failure);
      setRunning(false);
    }
  };
  return html`<${Dialog} title=${title} onClose=${close}>
    <div class="stack">
      <p>${text}</p>
      <${ErrorBox} error=${error} />
      <div class="row end">
        <button class="button" onClick=${close}>Cancel</button>
        <button class="button ${danger ? "danger" : "primary"}" disabled=${running} onClick=${agree}>${verb}</button>
      </div>
    </div>
  </${Dialog}>`;
}
