/** A point cloud that turns and zooms, drawn by three.js, which is loaded when this is first shown. */

import { html, useEffect, useMemo, useRef, useState } from "../../../lib/view.js";
import { number } from "../../../lib/format.js";
import { dark } from "../../../lib/theme.js";
import { useStore } from "../../../lib/store.js";
import { bytesOf, floatsOf } from "../lib/arrays.js";
import { turbo } from "../lib/colours.js";
import { save } from "../lib/files.js";
import { readPly, writePly } from "../lib/ply.js";

/** @param {{ outcome: import("../lib/send.js").Outcome }} props */
export function PointsPane({ outcome }) {
  return outcome.value.data.map((item) => html`<${Cloud} key=${item.index} item=${item} />`);
}

function Cloud({ item }) {
  const cloud = useMemo(() => cloudOf(item), [item]);
  if (!cloud) {
    return html`<button type="button" class="button" onClick=${() => save(new Blob([bytesOf(item.points.data)]), "points.npz")}>Save the npz file</button>`;
  }
  const download = () => save(new Blob([writePly(cloud.positions, cloud.saved)], { type: "application/octet-stream" }), "points.ply");
  return html`<${Scene} cloud=${cloud} />
    <div class="row spread">
      <span class="muted">${number(cloud.positions.length / 3)} points, ${number(item.min, 2)} to ${number(item.max, 2)}${item.unit === "metre" ? " m" : ""} away</span>
      <button type="button" class="button small" onClick=${download}>Save as PLY</button>
    </div>`;
}

/** Positions and colours of an answer; null for an npz file. Without colours, points are tinted by their depth. */
function cloudOf(item) {
  const { format, data } = item.points;
  if (format === "npz") return null;
  const { positions, colours } = format === "ply" ? readPly(bytesOf(data)) : { positions: floatsOf(data), colours: null };
  const saved = colours ?? (item.colors ? bytesOf(item.colors.data) : null);
  return { positions, saved, colours: saved ?? byDepth(positions, item.min, item.max) };
}

function byDepth(positions, low, high) {
  const colours = new Uint8Array(positions.length);
  for (let index = 0; index < positions.length; index += 3) {
    colours.set(turbo(1 - (positions[index + 2] - low) / (high - low || 1)), index);
  }
  return colours;
}

function Scene({ cloud }) {
  const canvas = useRef(null);
  const stage = useRef(null);
  const [state, setState] = useState("loading");
  const [size, setSize] = useState(1);
  const isDark = useStore(dark);
  useEffect(() => {
    let closed = false;
    import("../lib/point_scene.js")
      .then(({ PointScene }) => {
        if (closed) return;
        stage.current = new PointScene(canvas.current, cloud);
        setState("ready");
      })
      .catch((error) => {
        console.warn(`Points cannot be drawn: ${error.message}`);
        setState("failed");
      });
    return () => {
      closed = true;
      stage.current?.close();
      stage.current = null;
    };
  }, [cloud]);
  useEffect(() => stage.current?.show({ size, dark: isDark }), [size, isDark, state]);
  return html`<div class="cloud" data-state=${state}>
      <canvas ref=${canvas} tabindex="0" role="img" aria-label="Point cloud. Drag to turn, scroll to zoom; arrow keys turn it, + and - zoom."
        onKeyDown=${(event) => stage.current?.onKey(event)}></canvas>
      ${state === "failed" && html`<p class="muted">This browser has no WebGL, so it cannot draw the points. You can still save them.</p>`}
    </div>
    ${state !== "failed" &&
    html`<small class="muted">Drag to turn; scroll or pinch to zoom.</small>
    <div class="row">
      <button type="button" class="button small" onClick=${() => stage.current?.reset()}>Reset the view</button>
      <label class="row grow slider-row"><span class="muted">Point size</span>
        <input type="range" min="0.3" max="4" step="0.1" value=${size} onInput=${(event) => setSize(Number(event.currentTarget.value))} /></label>
    </div>`}`;
}
