/** The view Now: memory, models, the queue and events, live. */

import { html } from "../../lib/view.js";
import { counted, duration } from "../../lib/format.js";
import { connection, status, useLive } from "../../lib/live.js";
import { useStore } from "../../lib/store.js";
import { Charts } from "./charts.js";
import { Devices } from "./devices.js";
import { EventList } from "./event_list.js";
import { ModelList } from "./model_list.js";
import { Queue } from "./queue.js";

export default function Now() {
  useLive();
  const current = useStore(status);
  const { state } = useStore(connection);
  return html`<header class="row spread">
      <h1>Now</h1>
      <${Summary} />
    </header>
    ${current
      ? html`<div class="now stack" data-state=${state}>
          <${Problems} current=${current} />
          <${Devices} devices=${current.devices} workers=${current.workers} />
          <${ModelList} current=${current} />
          <${Queue} waits=${current.waits} />
          <${Charts} />
          <${EventList} />
        </div>`
      : html`<p class="muted" role="status">Asking for the status …</p>`}`;
}

function Summary() {
  const text = useStore(status, (current) => current && summaryOf(current));
  const state = useStore(connection, (value) => value.state);
  return html`<p class="muted now-summary"><span class="live-dot" data-state=${state}></span>${text}</p>`;
}

function summaryOf({ models, workers, leases, waiting, jobs, version, uptime }) {
  const loaded = new Set(workers.filter((worker) => worker.state === "ready").map((worker) => worker.model)).size;
  const queued = (jobs?.queued ?? 0) + (jobs?.running ?? 0);
  return [
    `${loaded} of ${counted(models.length, "model")} loaded`,
    `${counted(leases, "request")} at work`,
    `${waiting} waiting`,
    queued ? counted(queued, "job") : "",
    `version ${version}, up for ${duration(Math.floor(uptime / 60) * 60 || uptime)}`,
  ]
    .filter(Boolean)
    .join(" · ");
}

/** What an operator has to look at: a configuration that is not in force, memory that no process gave back. */
function Problems({ current }) {
  const { configuration, gateway, leaks } = current;
  const problems = [
    configuration?.error && `config.yaml is not in force: ${configuration.error}`,
    gateway?.configuration_error && `The gateway does not apply config.yaml: ${gateway.configuration_error}`,
    configuration?.needs_restart?.length && `These settings take effect with the next start: ${configuration.needs_restart.join(", ")}`,
    ...(leaks ?? []).map((leak) => `Memory of ${leak.worker} is still in use, by the processes ${(leak.pids ?? []).join(", ") || "unknown"}.`),
  ].filter(Boolean);
  return problems.map((text) => html`<p key=${text} class="notice pre-wrap" role="alert">${text}</p>`);
}
