/** Documents in the order in which they answer a query, each with its score as a bar. */

import { html } from "../../../lib/view.js";
import { score as scored } from "../../../lib/format.js";

/** @param {{ outcome: import("../lib/send.js").Outcome }} props */
export function RankingPane({ outcome }) {
  const { results } = outcome.value;
  const scores = results.map(({ relevance_score: score }) => score);
  const [low, high] = [Math.min(0, ...scores), Math.max(1, ...scores)]; // logits may be outside of 0 to 1
  const documents = outcome.body.documents;
  if (!results.length) return html`<p class="muted">There is nothing to rank.</p>`;
  return html`<ol class="plain ranking">
    ${results.map(
      ({ index, relevance_score: score, document }) => html`<li key=${index}>
        <div class="row spread"><span class="answer-text grow">${textOf(document ?? documents[index])}</span>
          <span class="mono">${scored(score, 4)}</span></div>
        <meter min=${low} max=${high} value=${score} aria-label="Relevance">${scored(score, 4)}</meter>
      </li>`,
    )}
  </ol>`;
}

function textOf(document) {
  return typeof document === "string" ? document : (document?.text ?? JSON.stringify(document));
}
