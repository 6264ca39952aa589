/** The answer of any task: its texts and pictures where there are some, else its JSON. */

import { html } from "../../../lib/view.js";
import { BlobPane } from "./blob.js";
import { JsonPane } from "./json.js";

/** @param {{ outcome: import("../lib/send.js").Outcome }} props */
export function AnyPane({ outcome }) {
  if (outcome.blob) return html`<${BlobPane} blob=${outcome.blob} />`;
  if (outcome.events) return html`<${JsonPane} value=${outcome.events} />`;
  const texts = textsIn(outcome.value);
  return html`
    ${texts.map((text, index) => html`<p key=${index} class="answer-text pre-wrap">${text}</p>`)}
    ${!texts.length && html`<${JsonPane} value=${outcome.value} />`}`;
}

function textsIn(value) {
  const items = [value, ...(value?.data ?? []), ...(value?.choices ?? [])];
  return items.map((item) => item?.text).filter((text) => typeof text === "string" && text);
}
