/** All that the catalogue and this machine know of a model, and its entry for config.yaml. */

import { html } from "../../lib/view.js";
import { bytes, number } from "../../lib/format.js";
import { linkTo } from "../../lib/router.js";
import { Dialog } from "../../components/dialog.js";

/** @param {{ model: object, onClose: () => void }} props */
export function Details({ model, onClose }) {
  return html`<${Dialog} title=${model.name} onClose=${onClose} wide>
    <div class="stack">
      ${model.note && html`<p>${model.note}</p>`}
      <dl class="facts">
        ${Object.entries(factsOf(model)).map(([name, value]) => value && html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
      </dl>
      <${Memory} model=${model} />
      ${model.entry && html`<h3>Its entry</h3><pre class="entry" tabindex="0">${entryText(model.entry)}</pre>`}
      ${model.configured && html`<p class="row"><a href=${linkTo("playground", [], { model: model.configured })}>Try it</a></p>`}
    </div>
  </${Dialog}>`;
}

function factsOf(model) {
  return {
    "At the hub": model.hub,
    Family: model.family,
    Team: model.team,
    Tasks: model.tasks.join(", "),
    Engine: model.engine,
    Licence: model.licence && `${model.licence}${model.gated ? ", gated: accept the terms at the hub, and set HF_TOKEN" : ""}`,
    Parameters: model.parameters && `${number(model.parameters / 1e6)} million`,
    Dimensions: model.dimensions,
    "Configured as": model.configured,
    "On this machine": model.disk_bytes > 0 && `${bytes(model.disk_bytes)}${model.partly_downloaded ? ", not complete" : ""}`,
  };
}

/** What the model takes in each precision, beside what was measured. */
function Memory({ model }) {
  const rows = Object.entries(model.memory_gb ?? {});
  const { live } = model;
  if (!rows.length && !live?.footprint_bytes) return null;
  return html`<div class="scroll-x"><table>
    <caption>Memory</caption>
    <thead><tr><th>Precision</th><th class="number">Takes</th><th>Fits here</th></tr></thead>
    <tbody>
      ${rows.map(
        ([precision, gib]) => html`<tr key=${precision}><td>${precision}</td><td class="number">${gib} GiB</td>
          <td>${model.fits_in ? (model.fits_in.includes(precision) ? "yes" : "no") : "unknown"}</td></tr>`,
      )}
      ${live?.footprint_bytes &&
      html`<tr><td>${live.footprint_learned ? "as configured, measured here" : "as configured, estimated"}</td>
        <td class="number">${bytes(live.footprint_bytes)}</td><td>${live.fits === false ? "no" : "yes"}</td></tr>`}
    </tbody>
  </table></div>`;
}

function entryText(entry) {
  return Object.entries(entry)
    .map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`)
    .join("\n");
}
