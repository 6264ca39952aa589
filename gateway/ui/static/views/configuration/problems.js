/** What the server says of an edited text. */

import { html } from "../../lib/view.js";
import { ErrorBox } from "../../components/error_box.js";

/** @param {{ check: import("./use_check.js").Check, isChanged: boolean, onGoTo: (line: number) => void }} props */
export function Problems({ check, isChanged, onGoTo }) {
  if (check.error) return html`<${ErrorBox} error=${check.error} />`;
  return html`<div role="status" aria-live="polite">
    ${!isChanged && html`<small class="muted">Not changed.</small>`}
    ${isChanged && check.state === "checking" && html`<small class="muted">Checking …</small>`}
    ${check.state === "checked" && check.valid && html`<small class="problem-none">This can be saved.</small>`}
    ${check.state === "checked" && !check.valid && html`<ul class="plain problem-list">
      ${check.problems.map((problem, index) => html`<li key=${index}><${ProblemRow} problem=${problem} onGoTo=${onGoTo} /></li>`)}
    </ul>`}
  </div>`;
}

function ProblemRow({ problem, onGoTo }) {
  if (problem.line === null) return html`<p class="problem">${problem.message}</p>`;
  return html`<button class="problem" onClick=${() => onGoTo(problem.line)}>
    <b>Line ${problem.line}</b> <span>${problem.message}</span>
  </button>`;
}
