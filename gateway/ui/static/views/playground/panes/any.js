/** The answer of any task: its texts and images where there are some, else its JSON. */

import { html } from "../../../lib/view.js";
import { CopyButton } from "../request_code.js";
import { BlobPane } from "./blob.js";
import { JsonPane } from "./json.js";

/** @param {{ outcome: import("../lib/send.js").Outcome }} props */
export function AnyPane({ outcome }) {
  if (outcome.blob) return html`<${BlobPane} blob=${outcome.blob} />`;
  const texts = outcome.events ? streamedTexts(outcome.events) : textsIn(outcome.value);
  return html`
    ${texts.map((text, index) => html`<p key=${index} class="answer-text pre-wrap long-text" tabindex="0">${text}</p>`)}
    ${texts.length > 0 && html`<div class="row end"><${CopyButton} text=${texts.join("\n\n")} label="Copy the text" /></div>`}
    ${!texts.length && html`<${JsonPane} value=${outcome.value ?? outcome.events} />`}`;
}

function textsIn(value) {
  const items = [value, ...(value?.data ?? []), ...(value?.choices ?? [])];
  return items.map((item) => item?.text).filter((text) => typeof text === "string" && text);
}

/** The texts of streamed choices, put together from their pieces. */
function streamedTexts(events) {
  const texts = [];
  for (const { index = 0, text, delta } of events.flatMap(({ choices }) => choices ?? [])) {
    texts[index] = (texts[index] ?? "") + (text ?? delta?.content ?? "");
  }
  return texts.filter(Boolean);
}
