/** JSON as text, with long strings cut. */

import { html } from "../../../lib/view.js";

const LONGEST = 200;
const MOST = 100_000;

/** @param {{ value: unknown }} props */
export function JsonPane({ value }) {
  const text = JSON.stringify(value, shortened, 2) ?? String(value);
  return html`<pre class="code json" tabindex="0" aria-label="JSON">${text.length > MOST ? `${text.slice(0, MOST)}\n…` : text}</pre>`;
}

function shortened(_, value) {
  if (typeof value === "string" && value.length > LONGEST && !value.includes(" ")) {
    return `${value.slice(0, 60)}… (${value.length} characters)`;
  }
  if (Array.isArray(value) && value.length > 64 && value.every((part) => typeof part === "number")) {
    return `[${value.slice(0, 4).join(", ")}, … ${value.length} numbers]`;
  }
  return value;
}
