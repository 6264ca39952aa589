/** The command line and the Python code that send the same request. */

import { html, useState } from "../../lib/view.js";
import { key, ROOT } from "../../lib/api.js";
import { copy } from "../../components/copy.js";
import { curlOf, pythonOf } from "./lib/snippets.js";

const WRITERS = { curl: curlOf, Python: pythonOf };

/**
 * @param {{ task: { id: string, path: string, request: { form: object | null } }, bodies: object[] }} props
 */
export function RequestCode({ task, bodies }) {
  const [language, setLanguage] = useState("curl");
  const sent = bodies.map((body) => ({
    origin: ROOT.href.replace(/\/$/, ""),
    path: task.path,
    body,
    form: Boolean(task.request.form),
    hasKey: Boolean(key.get()),
    savedAs: fileFor(task, body),
  }));
  const code = sent.map(WRITERS[language]).join("\n\n");
  return html`<details class="card code-card">
    <summary>The same request in code</summary>
    <div class="row spread">
      <div class="row" role="group" aria-label="Language">
        ${Object.keys(WRITERS).map(
          (name) => html`<button key=${name} type="button" class="button small" aria-pressed=${name === language}
            onClick=${() => setLanguage(name)}>${name}</button>`,
        )}
      </div>
      <${CopyButton} text=${code} />
    </div>
    <pre class="code" tabindex="0" aria-label="The request as ${language}">${code}</pre>
  </details>`;
}

/** The file for the sound of an answer: curl writes none to a terminal. Null where the answer is text. */
function fileFor({ id }, body) {
  return id === "speech" && body.stream_format !== "sse" ? `speech.${body.response_format ?? "mp3"}` : null;
}

/** @param {{ text: string, label?: string }} props */
export function CopyButton({ text, label = "Copy" }) {
  return html`<button type="button" class="button small" onClick=${() => copy(text)}>${label}</button>`;
}
