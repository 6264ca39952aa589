/** Documents in the order in which they answer a query, each with its score as a bar. */

import { html } from "../../../lib/view.js";
import { number } from "../../../lib/format.js";

/** @param {{ outcome: import("../lib/send.js").Outcome }} props */
export function RankingPane({ outcome }) {
  const { results } = outcome.value;
  const scores = results.map(({ relevance_score: score }) => score);
  const [low, high] = [Math.min(0, ...scores), Math.max(1e-9, ...scores)];
  const documents = outcome.body.documents;
  return html`<ol class="plain ranking">
    ${results.map(
      ({ index, relevance_score: score, document }) => html`<li key=${index}>
        <div class="row spread"><span class="answer-text grow">${textOf(document ?? documents[index])}</span>
          <span class="mono">${number(score, 4)}</span></div>
        <meter min=${low} max=${high} value=${score} aria-label="Relevance">${number(score, 4)}</meter>
      </li>`,
    )}
  </ol>`;
}

function textOf(document) {
  return typeof document === "string" ? document : (document?.text ?? JSON.stringify(document));
}
