/** Shows how the edited file differs from the one that is there, and saves it. */

import { html, useState } from "../../lib/view.js";
import { requestJson } from "../../lib/api.js";
import { Dialog } from "../../components/dialog.js";
import { ErrorBox } from "../../components/error_box.js";

/**
 * @param {{ path: string, text: string, etag: string, check: import("./use_check.js").Check, onDone: (saved: object) => void,
 *   onReload: () => void, onClose: () => void }} props
 */
export function SaveDialog({ path, text, etag, check, onDone, onReload, onClose }) {
  const [running, setRunning] = useState(false);
  const [error, setError] = useState(null);
  const save = async () => {
    setRunning(true);
    try {
      onDone(await requestJson(path, { method: "PUT", json: { text }, headers: { "if-match": `"${etag}"` } }));
    } catch (failure) {
      setError(failure);
      setRunning(false);
    }
  };
  const isStale = error?.code === "configuration_changed";
  return html`<${Dialog} title="Save the configuration?" onClose=${onClose} wide>
    <div class="stack">
      <${Diff} text=${check.diff} />
      ${check.needs_restart.length > 0 && html`<p class="configuration-note">Takes effect with the next start:
        <code>${check.needs_restart.join(", ")}</code></p>`}
      <${ErrorBox} error=${error} />
      <div class="row end">
        <button class="button" onClick=${onClose}>Cancel</button>
        ${isStale
          ? html`<button class="button danger" onClick=${onReload}>Discard my changes and load the file</button>`
          : html`<button class="button primary" disabled=${running} onClick=${save}>Save</button>`}
      </div>
    </div>
  </${Dialog}>`;
}

/** A difference, line by line. @param {{ text: string }} props */
function Diff({ text }) {
  const lines = text.split("\n").slice(2); // without the names of the files
  return html`<pre class="diff" tabindex="0" aria-label="The difference">
    ${lines.map((line, index) => html`<span key=${index} data-kind=${kindOf(line)}>${line || " "}${"\n"}</span>`)}
  </pre>`;
}

function kindOf(line) {
  if (line.startsWith("@@")) return "place";
  return { "+": "new", "-": "old" }[line[0]] ?? "same";
}
