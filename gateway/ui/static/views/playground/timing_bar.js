/** Where the time of a request went, as a bar. */

import { html } from "../../lib/view.js";
import { duration } from "../../lib/format.js";
import { shares } from "./lib/timing.js";

const MEANINGS = {
  queue: "waited for its turn",
  load: "waited for the model to load",
  infer: "the model worked",
  job: "the job ran: its model loaded and worked",
  transfer: "gateway and network",
  wait: "until the first word: its turn, the model's start, and reading the request",
  answer: "from the first word to the last",
};

/** @param {{ timing: string | null, total: number, first?: number | null }} props milliseconds; `first`: until the first word */
export function TimingBar({ timing, total, first }) {
  const parts = shares(timing, total, first);
  const all = parts.reduce((sum, { ms }) => sum + ms, 0) || 1;
  return html`<figure class="timing" aria-label="Where the time went">
    <div class="timing-bar" aria-hidden="true">
      ${parts.map(({ name, ms }) => html`<span key=${name} data-phase=${name} style=${{ width: `${(ms / all) * 100}%` }}></span>`)}
    </div>
    <figcaption class="row timing-legend">
      ${parts.map(
        ({ name, ms }) => html`<span key=${name} data-phase=${name} title=${MEANINGS[name] ?? name}>${name} ${duration(ms / 1000)}</span>`,
      )}
      <span class="muted">total ${duration(total / 1000)}</span>
    </figcaption>
  </figure>`;
}
