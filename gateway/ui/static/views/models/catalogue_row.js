/** One model of the catalogue, with its download as a bar and what may be done with it. */

import { html } from "../../lib/view.js";
import { bytes } from "../../lib/format.js";
import { Badge } from "../../components/badge.js";
import { DownloadBar } from "./download_bar.js";
import { add, hasRemovableFiles, isRunning, pull } from "./actions.js";
import { removeDialog } from "./remove_dialog.js";

/**
 * @param {{ model: object, onOpen: (id: string) => void, onChange: () => void }} props
 */
export function CatalogueRow({ model, onOpen, onChange }) {
  const { download } = model;
  return html`<article class="catalogue-row">
    <div class="catalogue-name">
      <button class="link cut" onClick=${() => onOpen(model.id)}>${model.id}</button>
      <${Marks} model=${model} />
    </div>
    <p class="muted cut catalogue-tasks">${[model.name !== model.id && model.name, model.tasks.join(", "), model.licence].filter(Boolean).join(" · ")}</p>
    <p class="muted cut catalogue-size">${sizeOf(model)}</p>
    <div class="catalogue-download">
      ${isRunning(download) && html`<${DownloadBar} download=${download} />`}
      ${download?.state === "failed" && html`<span class="bad cut" title=${download.error?.message}>${download.error?.message}</span>`}
    </div>
    <div class="row catalogue-actions">
      ${!isRunning(download) && model.downloaded === false &&
      html`<button class="button small" onClick=${() => pull(model).then(onChange)} aria-label="Pull ${model.id}">
        ${model.partly_downloaded ? "Pull the rest" : "Pull"}
      </button>`}
      ${!model.configured && model.entry &&
      html`<button class="button small" onClick=${() => add(model).then(onChange)} aria-label="Add ${model.id}">Add</button>`}
      ${(model.configured || hasRemovableFiles(model)) &&
      html`<button class="button small" onClick=${() => removeDialog(model, onChange)} aria-label="Remove ${model.id}">Remove …</button>`}
    </div>
  </article>`;
}

function Marks({ model }) {
  return html`
    ${model.configured && html`<${Badge} state=${model.state ?? "configured"} />`}
    ${model.downloaded && html`<${Badge} state="downloaded" tone="good" />`}
    ${model.fits === false && html`<${Badge} state="too large for this machine" tone="bad" />`}
    ${model.gated && html`<${Badge} state="gated" />`}`;
}

function sizeOf(model) {
  const files = model.size_mb ? `${bytes(model.size_mb * 1e6)} of files` : model.disk_bytes > 0 ? `${bytes(model.disk_bytes)} of files` : "";
  return [files, memoryOf(model)].filter(Boolean).join(" · ");
}

/** What the model takes: as it was measured here, or else as the catalogue says for the usual precision. */
export function memoryOf({ live, memory_gb: memory }) {
  if (live?.footprint_bytes && live.footprint_learned) return `${bytes(live.footprint_bytes)} of memory, measured`;
  const [precision, gib] = Object.entries(memory ?? {}).find(([name]) => name === "bfloat16") ?? Object.entries(memory ?? {})[0] ?? [];
  if (gib) return `takes ${gib} GiB of memory in ${precision}`;
  return live?.footprint_bytes ? `takes about ${bytes(live.footprint_bytes)}` : "";
}
