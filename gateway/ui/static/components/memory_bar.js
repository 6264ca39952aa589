/** A device's memory as one bar, and in numbers below it. */

import { html } from "../lib/view.js";
import { bytes } from "../lib/format.js";

const SERIES = 6;

/**
 * @param {{ shares: import("../lib/memory.js").Share[], total: number, label: string }} props
 */
export function MemoryBar({ shares, total, label }) {
  const shown = shares.filter((share) => share.bytes > 0);
  let start = 0;
  return html`<div class="memory">
    <svg class="memory-bar" viewBox="0 0 1000 20" preserveAspectRatio="none" role="img" aria-label="${label}: ${spoken(shown)}">
      ${shown.map((share) => {
        const x = start;
        start += (share.bytes / total) * 1000;
        const width = Math.max(0, start - x - (start < 999 ? 2 : 0));
        return html`<rect key=${share.name} x=${x} width=${width} height="20" class="memory-share" data-kind=${share.kind}
          data-series=${seriesOf(share)}><title>${share.name}: ${bytes(share.bytes)}</title></rect>`;
      })}
    </svg>
    <ul class="memory-legend plain">
      ${shown.map(
        (share) => html`<li key=${share.name} data-kind=${share.kind} data-series=${seriesOf(share)}>
          <span class="swatch"></span><span class="cut">${share.name}</span> <b>${bytes(share.bytes)}</b>
        </li>`,
      )}
    </ul>
  </div>`;
}

const numbers = new Map();

/**
 * The number of a model's colour, from 1, the same wherever it is shown; 0 for all else.
 * @param {{ kind: string, model?: string }} share
 */
export function seriesOf({ kind, model }) {
  if (kind !== "worker") return 0;
  if (!numbers.has(model)) numbers.set(model, (numbers.size % SERIES) + 1);
  return numbers.get(model);
}

function spoken(shares) {
  return shares.map((share) => `${share.name} ${bytes(share.bytes)}`).join(", ");
}
