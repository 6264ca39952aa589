/** An answer that is no JSON: text, a picture, sound, or a file to save. */

import { html, useEffect, useState } from "../../../lib/view.js";
import { bytes } from "../../../lib/format.js";
import { save } from "../lib/files.js";

/** @param {{ blob: Blob }} props */
export function BlobPane({ blob }) {
  if (blob.type.startsWith("text/")) return html`<${TextBlob} blob=${blob} />`;
  if (blob.type.startsWith("image/")) return html`<${ImageBlob} blob=${blob} />`;
  return html`<button type="button" class="button" onClick=${() => save(blob, "answer")}>
    Save ${blob.type || "the file"} (${bytes(blob.size)})
  </button>`;
}

function TextBlob({ blob }) {
  const [text, setText] = useState("");
  useEffect(() => {
    blob.text().then(setText);
  }, [blob]);
  return html`<pre class="code" tabindex="0">${text}</pre>`;
}

function ImageBlob({ blob }) {
  const [url, setUrl] = useState("");
  useEffect(() => {
    const made = URL.createObjectURL(blob);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [blob]);
  return url && html`<img src=${url} alt="Answer" />`;
}
