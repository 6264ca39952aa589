/** One field of a task's form, entered as its schema says. */

import { html, useId } from "../../../lib/view.js";
import { SelectField, TextField } from "../../../components/fields.js";
import { AudioInput } from "./audio_input.js";
import { Hint } from "./hint.js";
import { ImageInput } from "./image_input.js";

/**
 * @param {{ field: import("../lib/schema.js").FormField, value: any, onInput: (value: any) => void, example?: any }} props
 */
export function SchemaField({ field, value, onInput, example }) {
  const label = field.required ? `${field.label} *` : field.label;
  const files = value ? [value].flat() : [];
  if (field.kind === "image") {
    return html`<${ImageInput} label=${label} value=${files} several=${field.several} example=${example} onInput=${onInput} />`;
  }
  if (field.kind === "audio") return html`<${AudioInput} label=${label} value=${files} example=${example} onInput=${onInput} />`;
  if (field.kind === "flag") return html`<${Flag} field=${field} value=${value} onInput=${onInput} />`;
  if (field.kind === "range") return html`<${Range} field=${field} label=${label} value=${value} onInput=${onInput} />`;
  if (field.kind === "choice" || field.kind === "maybe") {
    return html`<div class="stack tight"><${SelectField} label=${label} value=${value ?? field.fallback ?? ""} options=${optionsOf(field)} onInput=${onInput} />
      <${Hint} text=${field.description} /></div>`;
  }
  if (["long", "strings", "json"].includes(field.kind)) {
    return html`<${LongText} field=${field} label=${label} value=${value ?? ""} onInput=${onInput} />`;
  }
  const type = field.kind === "number" ? { type: "number", min: field.minimum, max: field.maximum, step: field.step ?? "any" } : {};
  return html`<div class="stack tight"><${TextField} label=${label} value=${value ?? ""} placeholder=${placeholder(field)} onInput=${onInput} ...${type} />
    <${Hint} text=${field.description} /></div>`;
}

function optionsOf(field) {
  const given = field.kind === "maybe" ? ["yes", "no"] : field.options;
  const fallback = field.fallback === null ? "Default" : null;
  return [...(fallback ? [{ value: "", label: fallback }] : []), ...given];
}

function placeholder(field) {
  return field.fallback === null || field.fallback === "" ? "" : String(field.fallback);
}

function Flag({ field, value, onInput }) {
  const id = useId();
  return html`<div class="field">
    <span class="check-field">
      <input id=${id} type="checkbox" checked=${value ?? field.fallback === true}
        aria-describedby=${field.description ? `${id}-hint` : undefined}
        onChange=${(event) => onInput(event.currentTarget.checked)} />
      <label for=${id}>${field.label}</label>
    </span>
    <${Hint} id="${id}-hint" text=${field.description} />
  </div>`;
}

/** A slider beside its number. Unless it was moved, the field is not sent. */
function Range({ field, label, value, onInput }) {
  const id = useId();
  const shown = value ?? field.fallback ?? "";
  const limits = { min: field.minimum, max: field.maximum, step: field.step };
  return html`<div class="field">
    <label for=${id}>${label}</label>
    <div class="range-row">
      <input id=${id} type="range" ...${limits} value=${shown === "" ? field.minimum : shown}
        onInput=${(event) => onInput(Number(event.currentTarget.value))} />
      <input type="number" aria-label="${field.label}, as a number" ...${limits} value=${shown} placeholder="auto"
        onInput=${(event) => onInput(event.currentTarget.value)} />
    </div>
    <${Hint} text=${field.description} />
  </div>`;
}

const HINTS = { strings: "One per line.", json: "JSON." };

function LongText({ field, label, value, onInput }) {
  const id = useId();
  const hint = [HINTS[field.kind], field.description].filter(Boolean).join(" ");
  return html`<div class="field">
    <label for=${id}>${label}</label>
    <textarea id=${id} rows=${field.kind === "long" && field.name !== "prompt" ? 4 : 3} value=${value} spellcheck=${field.kind !== "json"}
      class=${field.kind === "json" ? "mono" : ""} aria-describedby=${hint ? `${id}-hint` : undefined}
      onInput=${(event) => onInput(event.currentTarget.value)}></textarea>
    <${Hint} id="${id}-hint" text=${hint} />
  </div>`;
}
