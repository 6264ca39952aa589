/** The view Requests: the last requests of clients as they begin and end, with the time of each phase. */

import { html, useMemo, useState } from "../../lib/view.js";
import { counted } from "../../lib/format.js";
import { EmptyState } from "../../components/empty_state.js";
import { ErrorBox } from "../../components/error_box.js";
import { SelectField, TextField } from "../../components/fields.js";
import { WindowedList } from "../../components/windowed_list.js";
import { RequestDetails } from "./details.js";
import { RequestRow } from "./request_row.js";
import { outcomeOf, useRequests } from "./use_requests.js";

const OUTCOMES = [
  { value: "", label: "All outcomes" },
  { value: "ok", label: "Succeeded" },
  { value: "failed", label: "Failed" },
  { value: "running", label: "Running" },
];
const ROW_HEIGHT = 64;

export default function Requests() {
  const [search, setSearch] = useState("");
  const [outcome, setOutcome] = useState("");
  const [chosen, setChosen] = useState(null);
  const { requests, error, isLive, retry } = useRequests();
  const shown = useMemo(() => requests?.filter(filterOf(search, outcome)) ?? [], [requests, search, outcome]);
  const detailed = chosen !== null && requests?.find((request) => request.number === chosen);
  return html`
    <header class="row spread">
      <h1>Requests</h1>
      <small class="muted" role="status">${requests && summary(requests, shown, isLive)}</small>
    </header>
    <div class="request-filters">
      <${TextField} label="Search" hideLabel type="search" placeholder="Search path, model, key, error or id" value=${search}
        onInput=${setSearch} />
      <${SelectField} label="Outcome" hideLabel value=${outcome} options=${OUTCOMES} onInput=${setOutcome} />
    </div>
    <${ErrorBox} error=${error} onRetry=${retry} />
    ${requests && html`<${RequestList} all=${requests} shown=${shown} onOpen=${setChosen} />`}
    ${detailed && html`<${RequestDetails} request=${detailed} onClose=${() => setChosen(null)} />`}`;
}

function RequestList({ all, shown, onOpen }) {
  if (!all.length) {
    return html`<${EmptyState} title="No request yet">
      Requests to models appear here as they arrive. Reads of the server itself, such as this page's, do not.
    </${EmptyState}>`;
  }
  if (!shown.length) return html`<${EmptyState} title="No request matches">Clear the search, or show all outcomes.</${EmptyState}>`;
  return html`<div class="card request-card">
    <${WindowedList} className="request-list" label="The last requests" items=${shown} rowHeight=${ROW_HEIGHT}
      keyOf=${(request) => request.number} hold="scrolled"
      row=${(request) => html`<${RequestRow} request=${request} onOpen=${onOpen} />`} />
  </div>`;
}

function filterOf(search, outcome) {
  const needle = search.trim().toLowerCase();
  return (request) => {
    if (outcome && outcomeOf(request) !== outcome) return false;
    if (!needle) return true;
    const { id, path, model, key, error, status } = request;
    return [id, path, model, key, error, String(status ?? "")].some((text) => text?.toLowerCase().includes(needle));
  };
}

function summary(requests, shown, isLive) {
  const failed = shown.filter((request) => outcomeOf(request) === "failed").length;
  const count = shown.length === requests.length ? counted(requests.length, "request") : `${shown.length} of ${requests.length}`;
  return `${count}, ${failed} failed · ${isLive ? "live" : "connecting"}`;
}
