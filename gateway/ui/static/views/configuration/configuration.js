/** The view Configuration: the file, edited with its problems at their lines, and the settings in force. */

import { html, useEffect, useState } from "../../lib/view.js";
import { requestJson } from "../../lib/api.js";
import { ErrorBox } from "../../components/error_box.js";
import { toast } from "../../components/toasts.js";
import { Editor } from "./editor.js";
import { Problems } from "./problems.js";
import { SaveDialog } from "./save_dialog.js";
import { useCheck } from "./use_check.js";

const PATH = "v1/system/configuration";

/**
 * @typedef {{ path: string, exists: boolean, text: string, etag: string, settings: object, overrides: Record<string, string>,
 *   error: string | null, needs_restart: string[] }} ConfigurationPage
 */

export default function Configuration() {
  const [page, setPage] = useState(null);
  const [error, setError] = useState(null);
  const load = () =>
    requestJson(PATH).then(
      (answer) => (setPage(answer), setError(null)),
      (failure) => setError(failure),
    );
  useEffect(() => void load(), []);
  return html`
    <h1>Configuration</h1>
    <${ErrorBox} error=${error} onRetry=${load} />
    ${page && html`<${Notes} page=${page} />`}
    ${page && html`<${EditedFile} key=${page.etag} page=${page} onSaved=${load} />`}
    ${page && html`<${InForce} settings=${page.settings} overrides=${page.overrides} />`}`;
}

function Notes({ page }) {
  return html`<div class="stack">
    <p class="muted wrap-anywhere"><code>${page.path}</code>${!page.exists && " does not exist yet: saving makes it."}</p>
    ${page.error && html`<${ErrorBox} error=${{ message: `The file is not in force: ${page.error}` }} />`}
    ${page.needs_restart.length > 0 && html`<p class="configuration-note">Takes effect with the next start:
      <code>${page.needs_restart.join(", ")}</code></p>`}
  </div>`;
}

function EditedFile({ page, onSaved }) {
  const [text, setText] = useState(page.text);
  const [line, setLine] = useState(null);
  const [saving, setSaving] = useState(false);
  const isChanged = text !== page.text;
  const check = useCheck(PATH, text, isChanged);
  const onDone = async (saved) => {
    setSaving(false);
    const later = saved.needs_restart.length ? ` ${saved.needs_restart.join(", ")}: with the next start.` : "";
    toast(`Saved, and in force.${later}`);
    await onSaved();
  };
  return html`<section class="card stack" aria-labelledby="configuration-file">
    <div class="row spread">
      <h2 id="configuration-file">The file</h2>
      <small class="muted">Values that are “(hidden)” stay as they are unless you replace them.</small>
    </div>
    <${Editor} text=${text} onInput=${setText} problems=${check.problems} goTo=${line} />
    <${Problems} check=${check} isChanged=${isChanged} onGoTo=${(number) => setLine({ number })} />
    <div class="row end">
      <button class="button" disabled=${!isChanged} onClick=${() => setText(page.text)}>Discard changes</button>
      <button class="button primary" disabled=${!isChanged || !check.valid} onClick=${() => setSaving(true)}>Compare and save</button>
    </div>
    ${saving && html`<${SaveDialog} path=${PATH} text=${text} etag=${page.etag} check=${check} onDone=${onDone}
      onReload=${onSaved} onClose=${() => setSaving(false)} />`}
  </section>`;
}

function InForce({ settings, overrides }) {
  const names = Object.entries(overrides);
  return html`<section class="card stack" aria-labelledby="configuration-in-force">
    <h2 id="configuration-in-force">In force</h2>
    ${names.length > 0 && html`<p class="muted">Environment variables win over the file:
      ${names.map(([key, variable]) => html` <code key=${key}>${key} (${variable})</code>`)}</p>`}
    ${Object.entries(settings).map(
      ([section, values]) => html`<details key=${section} class="setting-section">
        <summary><code>${section}</code></summary>
        <pre class="pre-wrap">${JSON.stringify(values, null, 2)}</pre>
      </details>`,
    )}
  </section>`;
}
