/** What a field means: the beginning, and the rest on demand. It never changes its size by itself, so that nothing moves. */

import { html, useState } from "../../../lib/view.js";

const SHORT = 84;

/** @param {{ id?: string, text: string }} props */
export function Hint({ id, text }) {
  const [open, setOpen] = useState(false);
  if (!text) return null;
  const isLong = text.length > SHORT;
  const cut = isLong && !open ? `${text.slice(0, text.lastIndexOf(" ", SHORT - 8))} … ` : `${text} `;
  return html`<small class="muted hint" id=${id}>${cut}${isLong &&
    html`<button type="button" class="link-button" aria-expanded=${open} onClick=${() => setOpen(!open)}>${open ? "less" : "more"}</button>`}</small>`;
}
