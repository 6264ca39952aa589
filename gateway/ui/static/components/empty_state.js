/** What a list shows that has nothing to show: why, and what to do. */

import { html } from "../lib/view.js";

/** @param {{ title: string, children?: unknown }} props */
export function EmptyState({ title, children }) {
  return html`<div class="empty-state"><p class="empty-title">${title}</p><div class="muted">${children}</div></div>`;
}
