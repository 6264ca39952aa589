/** Makes a key, which is shown this once, or changes the limit and the scope of one. */

import { html, useState } from "../../lib/view.js";
import { key as ownKey, requestJson } from "../../lib/api.js";
import { signIn } from "../../lib/session.js";
import { copy } from "../../components/copy.js";
import { Dialog } from "../../components/dialog.js";
import { ErrorBox } from "../../components/error_box.js";
import { CheckField, TextField } from "../../components/fields.js";

/**
 * @param {{ edited: Partial<import("./keys.js").ApiKey>, isFirst: boolean, onChange: () => void,
 *   onClose: () => void }} props
 */
export function KeyDialog({ edited, isFirst, onChange, onClose }) {
  const [made, setMade] = useState(null);
  const isNew = edited.name === undefined;
  const onMade = async (answer) => {
    setMade(answer);
    if (isFirst) {
      ownKey.set(answer.key); // this tab needs it too from now on
      await signIn();
    }
    onChange();
  };
  if (made) return html`<${MadeKey} made=${made} isOwn=${isFirst} onClose=${onClose} />`;
  return html`<${Dialog} title=${isNew ? "Make a key" : `Change ${edited.name}`} onClose=${onClose}>
    <${KeyForm} edited=${edited} isNew=${isNew} isFirst=${isFirst} onMade=${onMade}
      onChanged=${() => (onChange(), onClose())} onClose=${onClose} />
  </${Dialog}>`;
}

function KeyForm({ edited, isNew, isFirst, onMade, onChanged, onClose }) {
  const [name, setName] = useState(edited.name ?? "");
  const [limit, setLimit] = useState(edited.rate_limit ?? "");
  const [admin, setAdmin] = useState(isFirst || Boolean(edited.scopes?.includes("admin")));
  const [running, setRunning] = useState(false);
  const [error, setError] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    setRunning(true);
    const order = { rate_limit: limit.trim() || null, scopes: admin ? ["admin"] : [] };
    try {
      if (isNew) await onMade(await requestJson("v1/system/keys", { json: { name: name.trim(), ...order } }));
      else await onChanged(await requestJson(`v1/system/keys/${encodeURIComponent(name)}`, { method: "PATCH", json: order }));
    } catch (failure) {
      setError(failure);
      setRunning(false);
    }
  };
  return html`<form class="stack" onSubmit=${submit}>
    ${isNew && html`<${TextField} label="Name" value=${name} onInput=${setName} focused required maxlength="100"
      placeholder="my-app" hint="What the key is for. Logs and limits show it." />`}
    <${TextField} label="Rate limit" value=${limit} onInput=${setLimit} placeholder="none" maxlength="200"
      hint="Such as 60/minute, or 10/second; 1000/day" />
    <${CheckField} label="May administer: models, logs, keys and configuration" checked=${admin} onInput=${setAdmin}
      disabled=${isFirst} />
    ${isFirst && html`<small class="muted">The first key must be able to administer. This tab uses it from then on.</small>`}
    <${ErrorBox} error=${error} />
    <div class="row end">
      <button type="button" class="button" onClick=${onClose}>Cancel</button>
      <button class="button primary" disabled=${running || !name.trim()}>${isNew ? "Make the key" : "Save"}</button>
    </div>
  </form>`;
}

function MadeKey({ made, isOwn, onClose }) {
  return html`<${Dialog} title="The key ${made.name}" onClose=${onClose}>
    <div class="stack">
      <p>Copy it now. It cannot be shown again, because only its hash is stored.</p>
      <output class="made-key mono" aria-label="The new key">${made.key}</output>
      <small class="muted">Clients send it as <code>Authorization: Bearer KEY</code>.${isOwn && " This tab uses it already."}</small>
      <div class="row end">
        <button class="button" data-focused onClick=${() => copy(made.key)}>Copy</button>
        <button class="button primary" onClick=${onClose}>Done</button>
      </div>
    </div>
  </${Dialog}>`;
}
