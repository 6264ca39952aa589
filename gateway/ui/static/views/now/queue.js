/** The requests that wait, in their order, and what each of them waits for. */

import { html } from "../../lib/view.js";
import { duration } from "../../lib/format.js";
import { WindowedList } from "../../components/windowed_list.js";

const ROW = 44;
const SHOWN = 6;

/** @param {{ waits: object[] }} props */
export function Queue({ waits }) {
  return html`<section class="card" aria-label="Queue">
    <h2>Queue</h2>
    ${waits.length
      ? html`<${WindowedList} items=${waits} rowHeight=${ROW} keyOf=${(wait) => wait.request} label="Waiting requests"
          height=${Math.min(waits.length, SHOWN) * ROW} row=${(wait, index) => html`<${Wait} wait=${wait} place=${index + 1} />`} />`
      : html`<p class="muted">No request waits.</p>`}
  </section>`;
}

function Wait({ wait, place }) {
  return html`<div class="wait-row">
    <b>${place}</b>
    <span class="cut" title=${wait.request}>${wait.model}</span>
    <span class="muted cut grow">${wait.message}</span>
    <span class="muted">${duration(wait.waited)}</span>
  </div>`;
}
