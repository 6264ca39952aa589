/** Vectors of an image's patches: how similar each is to the one under the pointer. */

import { html, useMemo, useState } from "../../../lib/view.js";
import { number } from "../../../lib/format.js";
import { floatsOf, limitsOf, similarTo } from "../lib/arrays.js";
import { coloured } from "../lib/colours.js";
import { bitmap, CanvasLayer } from "./canvas_layer.js";
import { imagesOf, Stage } from "./stage.js";

/** @param {{ outcome: import("../lib/send.js").Outcome }} props */
export function FeaturesPane({ outcome }) {
  const images = imagesOf(outcome.body);
  return outcome.value.data.map((item) => html`<${ImageFeatures} key=${item.index} item=${item} src=${images[item.index]} />`);
}

function ImageFeatures({ item, src }) {
  return html`
    ${item.patches && html`<${PatchGrid} item=${item} src=${src} />`}
    <p class="muted">${number(item.dimensions)} numbers in each vector${item.patches ? `, ${item.patches.shape[0]} × ${item.patches.shape[1]} patches` : ""}.
      ${item.patches ? "" : "Turn on Patches to see which parts of the image are alike."}</p>
    ${item.pooled && html`<${Vector} values=${floatsOf(item.pooled)} /><small class="muted">The vector of the whole image: a bar for each number, above or below zero.</small>`}`;
}

function PatchGrid({ item, src }) {
  const [rows, columns, dimensions] = item.patches.shape;
  const grid = useMemo(() => floatsOf(item.patches.data), [item]);
  const [chosen, setChosen] = useState(Math.floor(rows / 2) * columns + Math.floor(columns / 2));
  const near = useMemo(() => similarTo(grid, dimensions, chosen), [grid, chosen]);
  const image = useMemo(() => bitmap(coloured(near, ...limitsOf(near)), columns), [near]);
  const at = ([x, y]) =>
    Math.min(rows - 1, Math.floor((y / item.height) * rows)) * columns + Math.min(columns - 1, Math.floor((x / item.width) * columns));
  const draw = (context) => {
    context.imageSmoothingEnabled = false;
    context.drawImage(image, 0, 0, item.width, item.height);
  };
  const layer = html`<${CanvasLayer} width=${item.width} height=${item.height} draw=${draw} drawn=${[image]} className="patches" />`;
  const [column, row] = [chosen % columns, Math.floor(chosen / columns)];
  return html`<${Stage} src=${src} width=${item.width} height=${item.height} label="The image, with patches like the chosen one in warm colours"
      layers=${layer} onPlace=${(place) => place && setChosen(at(place))} pointer=${{ onPointerDown: (place) => setChosen(at(place)) }}>
      <rect class="patch" x=${(column * item.width) / columns} y=${(row * item.height) / rows} width=${item.width / columns} height=${item.height / rows} />
    </${Stage}>
    <label class="field"><span>Patch <span class="mono">${chosen + 1}</span> of ${rows * columns}</span>
      <input type="range" min="0" max=${rows * columns - 1} value=${chosen} onInput=${(event) => setChosen(Number(event.currentTarget.value))} />
    </label>`;
}

/** A vector as bars above and below zero. */
function Vector({ values }) {
  const [low, high] = limitsOf(values);
  const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
  const path = [...values].map((value, index) => `M${index} 20V${20 - (value / most) * 19}`).join("");
  return html`<svg class="vector" viewBox="-1 0 ${values.length + 1} 40" preserveAspectRatio="none" role="img" aria-label="The vector of the whole image"><path d=${path} /></svg>`;
}
