/** An answer that is no JSON: text, an image, sound, or a file to save. */

import { html, useEffect, useState } from "../../../lib/view.js";
import { bytes } from "../../../lib/format.js";
import { save } from "../lib/files.js";

/** @param {{ blob: Blob }} props */
export function BlobPane({ blob }) {
  if (blob.type.startsWith("text/")) return html`<${TextBlob} blob=${blob} />`;
  const [kind, subtype = "bin"] = blob.type.split(";")[0].split("/");
  return html`
    ${kind === "image" && html`<${MediaBlob} blob=${blob} show=${(url) => html`<img src=${url} alt="Answer" />`} />`}
    ${kind === "audio" && html`<${MediaBlob} blob=${blob} show=${(url) => html`<audio controls src=${url} aria-label="Answer"></audio>`} />`}
    <div class="row"><button type="button" class="button small" onClick=${() => save(blob, `answer.${EXTENSIONS[subtype] ?? subtype}`)}>
      Save ${EXTENSIONS[subtype] ?? subtype} (${bytes(blob.size)})
    </button></div>`;
}

const EXTENSIONS = { mpeg: "mp3", "x-wav": "wav", "octet-stream": "bin", "x-npz": "npz" };

function TextBlob({ blob }) {
  const [text, setText] = useState("");
  useEffect(() => {
    blob.text().then(setText);
  }, [blob]);
  return html`<pre class="code" tabindex="0">${text}</pre>`;
}

/** Something that the browser shows or plays, from an address that lasts as long as this. */
function MediaBlob({ blob, show }) {
  const [url, setUrl] = useState("");
  useEffect(() => {
    const made = URL.createObjectURL(blob);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [blob]);
  return url && show(url);
}
