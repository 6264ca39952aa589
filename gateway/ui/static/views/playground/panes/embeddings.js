/** How similar texts and images are: a matrix of the cosines of their vectors. */

import { html, useMemo } from "../../../lib/view.js";
import { number, score } from "../../../lib/format.js";
import { floatsOf, similarities } from "../lib/arrays.js";
import { css } from "../lib/colours.js";

const MOST = 32;
const TINT = [20, 150, 160];

/** @param {{ outcome: import("../lib/send.js").Outcome }} props */
export function EmbeddingsPane({ outcome }) {
  const vectors = useMemo(() => outcome.value.data.map(({ embedding }) => floatsOf(embedding)), [outcome]);
  const matrix = useMemo(() => similarities(vectors.slice(0, MOST)), [vectors]);
  const names = namesOf(outcome.body, vectors.length).slice(0, MOST);
  return html`
    <div class="scroll-x" tabindex="0" role="group" aria-label="Similarities">
      <table class="similarities">
        <thead><tr><td></td>${names.map((name, index) => html`<th key=${index} scope="col" title=${name}><span class="cut">${index + 1}</span></th>`)}</tr></thead>
        <tbody>
          ${matrix.map(
            (row, index) => html`<tr key=${index}>
              <th scope="row" title=${names[index]}><span class="cut">${index + 1}. ${names[index]}</span></th>
              ${row.map((value, column) => html`<${Cell} key=${column} value=${value} />`)}
            </tr>`,
          )}
        </tbody>
      </table>
    </div>
    <p class="muted">${vectors.length} vectors of ${vectors[0]?.length ?? 0} numbers, ${number(outcome.value.usage?.total_tokens)} tokens.${" "}
      ${vectors.length > MOST ? `The matrix has the first ${MOST}.` : ""}</p>`;
}

function Cell({ value }) {
  const strength = Math.max(0, Math.min(1, value));
  return html`<td style=${{ background: css(TINT, 0.5 * strength ** 1.5) }} title=${score(value, 4)}><span>${score(value)}</span></td>`;
}

function namesOf(body, count) {
  const inputs = [body.input ?? []].flat().map((input) => (typeof input === "string" ? input : (input.text ?? "image")));
  const images = [body.image ?? [], body.images ?? []].flat().map((_, index) => `image ${index + 1}`);
  return Array.from({ length: count }, (_, index) => [...inputs, ...images][index] ?? `input ${index + 1}`);
}
