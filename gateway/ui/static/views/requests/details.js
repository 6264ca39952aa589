/** All that is known of one request. */

import { html } from "../../lib/view.js";
import { Badge } from "../../components/badge.js";
import { Dialog } from "../../components/dialog.js";
import { bytes, clock, duration } from "../../lib/format.js";
import { PhaseBar } from "./request_row.js";
import { Bodies } from "./bodies.js";
import { outcomeOf } from "./use_requests.js";

const TONES = { ok: "good", failed: "bad", running: "busy" };
const PHASES = {
  queue: "waited for its turn",
  load: "waited for its model to load",
  infer: "was worked on",
};

/** @param {{ request: import("./use_requests.js").LoggedRequest, onClose: () => void }} props */
export function RequestDetails({ request, onClose }) {
  const facts = [
    ["Model", request.model],
    ["Path", `${request.method} ${request.path}`],
    ["Key", request.key ?? "none needed"],
    ["From", request.job ? "a job" : request.client],
    ["Began", clock(request.time)],
    ["First byte after", request.first_byte === null ? null : duration(request.first_byte)],
    ["Answer", `${request.stream ? "streamed, " : ""}${bytes(request.bytes_sent)}`],
    ["Request id", request.id],
  ];
  return html`<${Dialog} title="Request ${request.number}" onClose=${onClose}>
    <div class="stack">
      <div class="row">
        <${Badge} state=${request.status === null ? "running" : String(request.status)} tone=${TONES[outcomeOf(request)]} />
        ${request.error && html`<code class="request-error">${request.error}</code>`}
        <span class="muted">${request.seconds === null ? "not over yet" : `took ${duration(request.seconds)}`}</span>
      </div>
      <${PhaseBar} request=${request} />
      <ul class="plain phase-legend">
        ${Object.entries(PHASES).map(
          ([name, text]) => html`<li key=${name} data-phase=${name}><span class="muted">${text}</span>
            <span>${duration(request.phases[name] ?? null)}</span></li>`,
        )}
      </ul>
      <dl class="request-facts">
        ${facts.filter(([, value]) => value).map(
          ([name, value]) => html`<div key=${name}><dt class="muted">${name}</dt><dd class="wrap-anywhere">${value}</dd></div>`,
        )}
      </dl>
      <${Bodies} id=${request.id} isOver=${request.status !== null} />
      <a href="#/logs/gateway?search=${encodeURIComponent(request.id)}">Find it in the gateway's log</a>
    </div>
  </${Dialog}>`;
}
