/** The view Logs: of each program and model, from its end, live, and searched by the server. */

import { html, useEffect, useState } from "../../lib/view.js";
import { requestJson } from "../../lib/api.js";
import { bytes, clock } from "../../lib/format.js";
import { usePolled } from "../../lib/polling.js";
import { linkTo, navigate, useRoute } from "../../lib/router.js";
import { copy } from "../../components/copy.js";
import { Dialog } from "../../components/dialog.js";
import { EmptyState } from "../../components/empty_state.js";
import { ErrorBox } from "../../components/error_box.js";
import { CheckField, SelectField, TextField } from "../../components/fields.js";
import { WindowedList } from "../../components/windowed_list.js";
import { asShown, levelOf, withControls } from "./line_text.js";
import { useLog } from "./use_log.js";

const ROW_HEIGHT = 21;
const INTERVAL = 10_000; // between two looks at the list of logs

export default function Logs() {
  const { path, query } = useRoute();
  const { value, error, refresh } = usePolled((signal) => requestJson("v1/system/logs", { signal }), { interval: INTERVAL });
  const files = value?.logs;
  const name = path[0] ?? files?.[0]?.name;
  const choose = (next) => navigate(linkTo("logs", [next]), { replace: true });
  return html`
    <h1>Logs</h1>
    <${ErrorBox} error=${error} onRetry=${refresh} />
    ${files && !name && html`<${EmptyState} title="There is no log yet">Programs and models write one as they start.</${EmptyState}>`}
    ${files && name && html`<${Log} name=${name} files=${files} search=${query.search ?? ""} onChoose=${choose} />`}`;
}

function Log({ name, files, search: first, onChoose }) {
  const [typed, setTyped] = useTextOf(name, first);
  const [search, setSearch] = useTextOf(name, first);
  const [live, setLive] = useState(true);
  useEffect(() => {
    const timer = setTimeout(() => setSearch(typed.trim()), 250);
    return () => clearTimeout(timer);
  }, [name, typed]);
  const known = files.some((file) => file.name === name);
  const options = (known ? files : [...files, { name, bytes: 0 }]).map((file) => ({
    value: file.name, label: `${file.name} (${bytes(file.bytes)})`,
  }));
  return html`
    <div class="log-controls">
      <${SelectField} label="Log" value=${name} options=${options} onInput=${onChoose} />
      <${TextField} label="Search" type="search" placeholder="Only lines with this text" value=${typed} onInput=${setTyped}
        maxlength="200" />
      <${CheckField} label="Live" checked=${live} onInput=${setLive} />
    </div>
    <${Lines} key=${name} name=${name} search=${search} live=${live} />`;
}

/** A text that is empty again in each log, while the list of logs keeps the focus. */
function useTextOf(name, first) {
  const [own, setOwn] = useState({ name, text: first });
  return [own.name === name ? own.text : first, (text) => setOwn({ name, text })];
}

function Lines({ name, search, live }) {
  const [opened, setOpened] = useState(null);
  const log = useLog(name, search, live);
  return html`<${ErrorBox} error=${log.error} onRetry=${log.retry} />
    <div class="card log-card">
      <${LogHead} log=${log} search=${search} />
      ${log.lines.length > 0 && html`<${WindowedList} className="log-list" label="Lines of ${name}" items=${log.lines}
        rowHeight=${ROW_HEIGHT} keyOf=${(line) => line.key} stick=${live} hold="always"
        row=${(line) => html`<${LineRow} line=${line} onOpen=${setOpened} />`} />`}
      ${!log.lines.length && !log.loading && !log.error && html`<${NoLine} search=${search} hasEarlier=${log.hasEarlier} />`}
    </div>
    ${opened && html`<${LineDialog} line=${opened} onClose=${() => setOpened(null)} />`}`;
}

/** What is above the lines: how many there are, and the way to earlier ones. */
function LogHead({ log, search }) {
  const file = fileOf(log);
  return html`<div class="log-head row spread">
    <small class="muted" role="status">${stateOf(log, search)}</small>
    ${log.hasEarlier && html`<button class="button small" disabled=${log.loading} onClick=${log.loadEarlier}>
      ${search ? "Search further back" : "Show earlier lines"}${file}
    </button>`}
  </div>`;
}

function NoLine({ search, hasEarlier }) {
  if (!search) return html`<p class="muted log-empty">Nothing has been written to this log${hasEarlier ? " lately" : ""}.</p>`;
  return html`<p class="muted log-empty">No line that was searched has this text.${hasEarlier ? " Search further back, or for something else." : ""}</p>`;
}

function fileOf(log) {
  return log.older ? ` (file ${log.older})` : "";
}

function stateOf(log, search) {
  if (log.loading && !log.lines.length) return "Reading …";
  const count = `${log.lines.length.toLocaleString("en")} ${log.lines.length === 1 ? "line" : "lines"}`;
  const found = search ? `${count} with “${search}”` : count;
  return log.isLive ? `${found} · live` : found;
}

function LineRow({ line, onOpen }) {
  return html`<button class="log-line" data-level=${levelOf(line.text)} onClick=${() => onOpen(line)}>${asShown(line.text)}</button>`;
}

function LineDialog({ line, onClose }) {
  return html`<${Dialog} title="Line" onClose=${onClose} wide>
    <div class="stack">
      <pre class="pre-wrap log-whole">${withControls(line.text)}</pre>
      <div class="row spread">
        <small class="muted">${line.position === null ? clock(line.time) : `at byte ${line.position.toLocaleString("en")}`}</small>
        <button class="button small" onClick=${() => copy(line.text)}>Copy</button>
      </div>
    </div>
  </${Dialog}>`;
}
