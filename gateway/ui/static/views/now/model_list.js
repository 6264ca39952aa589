/** The configured models, those with work first. Each row says what the model does, until when it stays, and why. */

import { html, useMemo, useState } from "../../lib/view.js";
import { counted } from "../../lib/format.js";
import { reasons } from "../../lib/live.js";
import { useStore } from "../../lib/store.js";
import { useWide } from "../../lib/width.js";
import { EmptyState } from "../../components/empty_state.js";
import { CheckField, TextField } from "../../components/fields.js";
import { WindowedList } from "../../components/windowed_list.js";
import { KeepDialog } from "./keep_dialog.js";
import { ModelDetails } from "./model_details.js";
import { ModelRow } from "./model_row.js";
import { useRates } from "./history.js";

const ROW = { wide: 76, narrow: 138 };
const SHOWN = 7; // rows before the list scrolls by itself

/** @param {{ current: object }} props */
export function ModelList({ current }) {
  const [text, setText] = useState("");
  const [loadedOnly, setLoadedOnly] = useState(false);
  const [opened, setOpened] = useState(null);
  const [kept, setKept] = useState(null);
  const why = useStore(reasons);
  const rates = useRates();
  const rows = useMemo(() => rowsOf(current, text, loadedOnly), [current, text, loadedOnly]);
  const height = useWide() ? ROW.wide : ROW.narrow;
  return html`<section class="card models" aria-label="Models">
    <header class="row spread">
      <h2>Models</h2>
      <div class="row">
        <${CheckField} label="Loaded only" checked=${loadedOnly} onInput=${setLoadedOnly} />
        <${TextField} label="Find a model" hideLabel type="search" placeholder="Find a model" value=${text} onInput=${setText} />
      </div>
    </header>
    ${rows.length
      ? html`<${WindowedList} items=${rows} rowHeight=${height} keyOf=${(row) => row.model.id} label="Models"
          className="model-rows" height=${Math.min(rows.length, SHOWN) * height}
          row=${(row) => html`<${ModelRow} row=${row} reason=${why.get(row.model.id)} rate=${rates.get(row.model.id)}
            onOpen=${setOpened} onKeep=${setKept} />`} />`
      : html`<${EmptyState} title="No model here">
          ${current.models.length ? counted(current.models.length, "model is", "models are") + " configured." : "Add one under Models."}
        </${EmptyState}>`}
    ${opened && html`<${ModelDetails} id=${opened} onClose=${() => setOpened(null)} />`}
    ${kept && html`<${KeepDialog} id=${kept} onClose=${() => setKept(null)} />`}
  </section>`;
}

const byName = new Intl.Collator("en", { numeric: true }).compare;
const ORDER = { ready: 0, draining: 0, starting: 1, stopping: 2, backoff: 3, stopped: 4 };

/** A row for each model that the filters let through, in their order. */
function rowsOf({ models, workers }, text, loadedOnly) {
  const ofModel = Map.groupBy(workers, (worker) => worker.model);
  const wanted = text.trim().toLowerCase();
  return models
    .filter((model) => !loadedOnly || model.state !== "stopped" || model.waiting)
    .filter((model) => !wanted || [model.id, model.engine, ...model.tasks, ...model.aliases].join(" ").toLowerCase().includes(wanted))
    .map((model) => rowOf(model, ofModel.get(model.id) ?? []))
    .sort((a, b) => a.place - b.place || byName(a.model.id, b.model.id));
}

function rowOf(model, workers) {
  const sum = (name) => workers.reduce((total, worker) => total + worker[name], 0);
  const ready = workers.filter((worker) => worker.state === "ready");
  const ends = ready.map((worker) => worker.expires_at);
  return {
    model,
    atWork: sum("leases"),
    memory: sum("memory_bytes"),
    endsAt: ready.length && ends.every((end) => end !== null) ? Math.max(...ends) : null,
    isLoaded: ready.length > 0,
    place: (ORDER[model.state] ?? 4) - (model.waiting ? 2 : 0),
  };
}
