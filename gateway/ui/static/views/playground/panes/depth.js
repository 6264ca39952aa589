/** Depth in colours: warm is near. The value under the pointer is shown, as is what the colours mean. */

import { html, useMemo, useState } from "../../../lib/view.js";
import { number } from "../../../lib/format.js";
import { floatsOf } from "../lib/arrays.js";
import { coloured } from "../lib/colours.js";
import { bitmap, CanvasLayer } from "./canvas_layer.js";
import { imagesOf, Stage } from "./stage.js";

/** @param {{ outcome: import("../lib/send.js").Outcome }} props */
export function DepthPane({ outcome }) {
  const images = imagesOf(outcome.body);
  return outcome.value.data.map(
    (item) => html`<${DepthMap} key=${item.index} item=${item} depth=${item.depth} kind=${item.kind} src=${images[item.index]} />`,
  );
}

/** @param {{ item: any, depth: any, kind: string, src: string }} props `depth` is a DepthMap of the answer */
export function DepthMap({ item, depth, kind, src }) {
  if (depth.format !== "float32") {
    return html`<img src="data:image/png;base64,${depth.data}" alt="The depth as an image" class="depth-image" />
      <p class="muted">Choose the format float32 to see the values under the pointer.</p>`;
  }
  return html`<${DepthValues} item=${item} depth=${depth} kind=${kind} src=${src} />`;
}

function DepthValues({ item, depth, kind, src }) {
  const [height, width] = depth.shape;
  const [place, setPlace] = useState(null);
  const [mix, setMix] = useState(1);
  const values = useMemo(() => floatsOf(depth.data), [depth]);
  const nearIsSmall = kind !== "disparity";
  const image = useMemo(() => bitmap(coloured(values, item.min, item.max, nearIsSmall), width), [values]);
  const draw = (context) => {
    context.globalAlpha = mix;
    context.drawImage(image, 0, 0, item.width, item.height);
  };
  const value = place && values[Math.min(height - 1, Math.floor((place[1] / item.height) * height)) * width
    + Math.min(width - 1, Math.floor((place[0] / item.width) * width))];
  const unit = item.unit === "metre" ? "m" : "";
  const layer = html`<${CanvasLayer} width=${item.width} height=${item.height} draw=${draw} drawn=${[image, mix]} />`;
  return html`<${Stage} src=${src} width=${item.width} height=${item.height} label="The image in colours of its depth" layers=${layer} onPlace=${setPlace}>
      ${(length) => place && html`<${Probe} place=${place} item=${item} length=${length} text="${number(value, 3)} ${unit}" />`}
    </${Stage}>
    <div class="row depth-legend">
      <span class="mono">near ${number(nearIsSmall ? item.min : item.max, 2)} ${unit}</span>
      <span class="ramp grow" aria-hidden="true"></span>
      <span class="mono">far ${number(nearIsSmall ? item.max : item.min, 2)} ${unit}</span>
    </div>
    <p class=${place ? "mono" : "muted"} role="status">${place ? `${number(value, 4)} ${unit} at ${Math.floor(place[0])}, ${Math.floor(place[1])}` : `Point at the image to read its ${kind}.`}</p>
    <label class="field"><span>Colours over the image</span>
      <input type="range" min="0" max="1" step="0.01" value=${mix} onInput=${(event) => setMix(Number(event.currentTarget.value))} />
    </label>`;
}

/** A ring with a value beside it. `length` is the unit of `Stage`. */
export function Probe({ place: [x, y], item, length: unit, text }) {
  const left = x > item.width * 0.7;
  return html`<g class="probe">
    <circle cx=${x} cy=${y} r=${unit} fill="none" stroke="#fff" stroke-width=${unit * 0.35} />
    <text x=${left ? x - unit * 2 : x + unit * 2} y=${y - unit * 1.5} font-size=${unit * 3.2} text-anchor=${left ? "end" : "start"}>${text}</text>
  </g>`;
}
