/** All that is known of a model: its numbers, its workers, its last failure and its events. */

import { html, useMemo } from "../../lib/view.js";
import { eventText } from "../../lib/event_text.js";
import { bytes, clock, duration, number } from "../../lib/format.js";
import { events, status } from "../../lib/live.js";
import { linkTo } from "../../lib/router.js";
import { useStore } from "../../lib/store.js";
import { useWide } from "../../lib/width.js";
import { Badge } from "../../components/badge.js";
import { Dialog } from "../../components/dialog.js";

const EVENTS = 30;
const COLUMNS = [
  { name: "Worker", value: (worker) => html`${worker.worker} <small class="muted">pid ${worker.pid ?? "–"}</small>` },
  { name: "State", value: (worker) => html`<${Badge} state=${worker.state} />` },
  { name: "Where", value: (worker) => worker.devices.join(", ") },
  { name: "Memory", kind: "number", value: (worker) => bytes(worker.memory_bytes) },
  { name: "At work", kind: "number", value: (worker) => worker.leases },
  { name: "Served", kind: "number", value: (worker) => number(worker.served) },
  { name: "Started in", kind: "number", value: (worker) => `${duration(worker.ready_after)}${worker.from_standby ? " (standby)" : ""}` },
];

/** @param {{ id: string, onClose: () => void }} props */
export function ModelDetails({ id, onClose }) {
  const current = useStore(status);
  const model = current.models.find((entry) => entry.id === id);
  const workers = current.workers.filter((worker) => worker.model === id);
  if (!model) return html`<${Dialog} title=${id} onClose=${onClose}><p>This model is no longer configured.</p></${Dialog}>`;
  return html`<${Dialog} title=${id} onClose=${onClose} wide>
    <div class="stack">
      <${Facts} model=${model} />
      ${workers.length > 0 && html`<${Workers} workers=${workers} />`}
      ${model.failure && html`<${Failure} failure=${model.failure} />`}
      <${Events} id=${id} />
      <p class="row"><a href=${linkTo("logs", [id])}>Log</a> <a href=${linkTo("playground", [], { model: id })}>Try it</a></p>
    </div>
  </${Dialog}>`;
}

function Facts({ model }) {
  const { facts } = model;
  const memory = model.footprint_bytes && `${bytes(model.footprint_bytes)}, ${model.footprint_learned ? "measured" : "estimated"}`;
  const rows = {
    State: html`<${Badge} state=${model.state} />`,
    Tasks: model.tasks.join(", "),
    Engine: model.engine,
    Source: model.source,
    Aliases: model.aliases.join(", "),
    Memory: memory,
    Files: model.weights_bytes && bytes(model.weights_bytes),
    Fits: model.fits === false && "no: this machine can never have enough memory for it",
    Context: facts.context_length && `${number(facts.context_length)} tokens`,
    Dimensions: facts.dimensions,
    Quantization: facts.quantization,
    Tools: facts.tools,
    Reasoning: facts.reasoning,
    "Shares steps": model.joins,
    Needs: model.needs,
  };
  return html`<dl class="facts">
    ${Object.entries(rows).map(([name, value]) => value && html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
  </dl>`;
}

/** A table, or on a phone, where it would be wider than the screen, a list. */
function Workers({ workers }) {
  if (!useWide()) return html`<h3>Workers</h3>${workers.map((worker) => html`<${WorkerFacts} key=${worker.worker} worker=${worker} />`)}`;
  return html`<table>
    <caption class="visually-hidden">Workers</caption>
    <thead><tr>${COLUMNS.map(({ name, kind }) => html`<th key=${name} class=${kind}>${name}</th>`)}</tr></thead>
    <tbody>
      ${workers.map(
        (worker) => html`<tr key=${worker.worker}>${COLUMNS.map(({ name, kind, value }) => html`<td key=${name} class=${kind}>${value(worker)}</td>`)}</tr>`,
      )}
    </tbody>
  </table>`;
}

function WorkerFacts({ worker }) {
  return html`<dl class="facts">
    ${COLUMNS.map(({ name, value }) => html`<div key=${name}><dt>${name}</dt><dd>${value(worker)}</dd></div>`)}
  </dl>`;
}

function Failure({ failure }) {
  return html`<div class="notice stack" data-tone="bad">
    <p>${clock(failure.time)} ${failure.reason}${failure.out_of_memory ? " It ran out of memory." : ""}</p>
    ${failure.log_tail && html`<pre class="pre-wrap log-tail" tabindex="0">${failure.log_tail}</pre>`}
  </div>`;
}

function Events({ id }) {
  const all = useStore(events);
  const own = useMemo(() => all.filter((event) => event.model === id && event.type !== "progress").slice(-EVENTS).reverse(), [all, id]);
  if (!own.length) return null;
  return html`<h3>Why it came and went</h3>
    <ol class="plain event-lines">
      ${own.map((event) => html`<li key=${event.key}><time class="muted">${clock(event.time)}</time> ${eventText(event)}</li>`)}
    </ol>`;
}
