/** The view Keys: which keys there are, new ones, their limits and scopes, and their end. */

import { html, useState } from "../../lib/view.js";
import { requestJson } from "../../lib/api.js";
import { usePolled } from "../../lib/polling.js";
import { session } from "../../lib/session.js";
import { useStore } from "../../lib/store.js";
import { Badge } from "../../components/badge.js";
import { confirmThen } from "../../components/dialog.js";
import { EmptyState } from "../../components/empty_state.js";
import { ErrorBox } from "../../components/error_box.js";
import { toast } from "../../components/toasts.js";
import { KeyDialog } from "./key_dialog.js";

const INTERVAL = 10_000; // others may change keys too

/** @typedef {{ name: string, rate_limit: string | null, scopes: string[], source: string }} ApiKey */

export default function Keys() {
  const { value: page, error, refresh } = usePolled((signal) => requestJson("v1/system/keys", { signal }), { interval: INTERVAL });
  const [edited, setEdited] = useState(null); // a key, or {} for a new one
  const own = useStore(session, (state) => state.name);
  return html`
    <header class="row spread">
      <h1>Keys</h1>
      ${page && html`<button class="button primary" onClick=${() => setEdited({})}>Make a key …</button>`}
    </header>
    <${ErrorBox} error=${error} onRetry=${refresh} />
    ${page && !page.required && html`<${NoKeys} />`}
    ${page && page.keys.length > 0 && html`<${KeyTable} keys=${page.keys} own=${own} onEdit=${setEdited} onChange=${refresh} />`}
    ${page?.tokens && html`<p class="muted">JSON web tokens that are signed with <code>security.jwt_secret</code> are valid too.</p>`}
    ${edited && html`<${KeyDialog} edited=${edited} isFirst=${!page.required} onChange=${refresh} onClose=${() => setEdited(null)} />`}`;
}

function NoKeys() {
  return html`<${EmptyState} title="No key is required">
    Everyone who can reach this server can use it. With the first key, requests need one from then on.
  </${EmptyState}>`;
}

function KeyTable({ keys, own, onEdit, onChange }) {
  return html`<ul class="plain card key-list" aria-label="Keys">
    ${keys.map((entry) => html`<${KeyRow} key=${entry.name} entry=${entry} isOwn=${entry.name === own} onEdit=${onEdit}
      onChange=${onChange} />`)}
  </ul>`;
}

function KeyRow({ entry, isOwn, onEdit, onChange }) {
  const isFixed = entry.source !== "configuration";
  const revoke = () =>
    confirmThen({
      title: `Revoke ${entry.name}?`,
      text: "Requests with this key are refused from now on. It cannot be made valid again.",
      verb: "Revoke",
      danger: true,
      action: async () => {
        await requestJson(`v1/system/keys/${encodeURIComponent(entry.name)}`, { method: "DELETE" });
        toast(`${entry.name} is revoked.`);
        onChange();
      },
    });
  return html`<li class="key-row">
    <div class="key-name">
      <b class="wrap-anywhere">${entry.name}</b>
      <small class="muted">${isFixed ? `set by ${entry.source}` : (entry.rate_limit ?? "no rate limit")}</small>
    </div>
    <div class="row">
      ${entry.scopes.map((scope) => html`<${Badge} key=${scope} state=${scope} tone="busy" />`)}
      ${isOwn && html`<${Badge} state="this tab" tone="good" />`}
    </div>
    <div class="row end">
      <button class="button small" disabled=${isFixed} onClick=${() => onEdit(entry)} aria-label="Change ${entry.name}">Change</button>
      <button class="button small danger" disabled=${isFixed || isOwn} onClick=${revoke} aria-label="Revoke ${entry.name}">Revoke</button>
    </div>
  </li>`;
}
