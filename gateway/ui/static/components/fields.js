/** Labelled inputs. Each passes its new value to `onInput`. */

import { html, useId, useLayoutEffect, useRef } from "../lib/view.js";

/**
 * A line of text; other properties, such as `type` or `placeholder`, are those of the input.
 * @param {{ label: string, value: string | number, onInput: (value: string) => void, hint?: string, hideLabel?: boolean,
 *   focused?: boolean }} props `focused`: it has the focus when it appears, in a dialog too
 */
export function TextField({ label, value, onInput, hint, hideLabel, focused, ...rest }) {
  const id = useId();
  const input = useRef(null);
  useLayoutEffect(() => focused && input.current.focus(), []); // a dialog, which opens after it, does it again
  return html`<div class="field">
    <label for=${id} class=${hideLabel ? "visually-hidden" : ""}>${label}</label>
    <input id=${id} ref=${input} data-focused=${focused} value=${value} onInput=${(event) => onInput(event.currentTarget.value)}
      aria-describedby=${hint ? `${id}-hint` : undefined} ...${{ type: "text", ...rest }} />
    ${hint && html`<small id="${id}-hint" class="muted">${hint}</small>`}
  </div>`;
}

/**
 * Several lines of text.
 * @param {{ label: string, value: string, onInput: (value: string) => void, hideLabel?: boolean }} props
 */
export function TextArea({ label, value, onInput, hideLabel, ...rest }) {
  const id = useId();
  return html`<div class="field">
    <label for=${id} class=${hideLabel ? "visually-hidden" : ""}>${label}</label>
    <textarea id=${id} value=${value} onInput=${(event) => onInput(event.currentTarget.value)} ...${rest}></textarea>
  </div>`;
}

/**
 * One of several values.
 * @param {{ label: string, value: string, options: (string | { value: string, label: string })[],
 *   onInput: (value: string) => void, hideLabel?: boolean }} props
 */
export function SelectField({ label, value, options, onInput, hideLabel, ...rest }) {
  const id = useId();
  const all = options.map((option) => (typeof option === "string" ? { value: option, label: option } : option));
  return html`<div class="field">
    <label for=${id} class=${hideLabel ? "visually-hidden" : ""}>${label}</label>
    <select id=${id} value=${value} onChange=${(event) => onInput(event.currentTarget.value)} ...${rest}>
      ${all.map((option) => html`<option key=${option.value} value=${option.value}>${option.label}</option>`)}
    </select>
  </div>`;
}

/**
 * Yes or no.
 * @param {{ label: string, checked: boolean, onInput: (checked: boolean) => void }} props
 */
export function CheckField({ label, checked, onInput, ...rest }) {
  return html`<label class="check-field">
    <input type="checkbox" checked=${checked} onChange=${(event) => onInput(event.currentTarget.checked)} ...${rest} />
    <span>${label}</span>
  </label>`;
}
