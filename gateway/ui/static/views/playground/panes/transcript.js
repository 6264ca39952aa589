/** The text of a recording, as it arrives, with the times of its segments and words. */

import { html } from "../../../lib/view.js";
import { timecode } from "../../../lib/format.js";
import { CopyButton } from "../request_code.js";
import { BlobPane } from "./blob.js";

/** @param {{ outcome: import("../lib/send.js").Outcome }} props */
export function TranscriptPane({ outcome }) {
  if (outcome.blob) return html`<${BlobPane} blob=${outcome.blob} />`;
  const text = outcome.events ? streamed(outcome.events) : outcome.value.text;
  return html`
    <p class="answer-text pre-wrap long-text" aria-live="polite" tabindex="0">${text?.trim() || "No words were recognised."}</p>
    ${outcome.value?.segments &&
    html`<ol class="plain scored-list" tabindex="0" aria-label="Segments">
      ${outcome.value.segments.map(
        ({ id, start, end, text: said }) => html`<li key=${id}><span class="mono muted">${timecode(start)}–${timecode(end)}</span><span class="grow">${said.trim()}</span></li>`,
      )}
    </ol>`}
    ${outcome.value?.words &&
    html`<p class="words long-text" tabindex="0" aria-label="Words">${outcome.value.words.map(
      ({ word, start, end }, index) => html`<span key=${index} title="${timecode(start)}–${timecode(end)}">${word} </span>`,
    )}</p>`}
    <div class="row end"><${CopyButton} text=${text} label="Copy the text" /></div>`;
}

function streamed(events) {
  const done = events.find(({ type }) => type === "transcript.text.done");
  return done?.text ?? events.map(({ delta }) => delta ?? "").join("");
}
