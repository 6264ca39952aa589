/** The part of an image that is redrawn: painted over it by hand, or a file. */

import { html, useEffect, useRef, useState } from "../../../lib/view.js";
import { canvasFile, whileReading } from "../lib/files.js";
import { Stage } from "../panes/stage.js";
import { SchemaField } from "./schema_field.js";
import { useImageSize } from "./use_image_size.js";

const PAINTED = "painted mask";

/** @param {{ values: any, set: (name: string, value: any) => void, fields: any[] }} props */
export function MaskInput({ values, set, fields }) {
  const field = fields.find(({ name }) => name === "mask");
  const image = [values.image ?? []].flat()[0];
  const setMask = (file) => set("mask", file);
  const painted = useRef(image?.dataUrl); // of this image, a mask may still be encoded
  useEffect(() => {
    // What was painted on one image means nothing on the next; a mask from a file stays.
    if (painted.current !== image?.dataUrl && values.mask?.[0]?.name === PAINTED) setMask(undefined);
    painted.current = image?.dataUrl;
  }, [image?.dataUrl]);
  return html`<details class="more-fields" open=${Boolean(values.mask)}>
    <summary>Mask <span class="muted">${values.mask ? "set" : "none: all of the image is redrawn"}</span></summary>
    <div class="stack">
      ${image && html`<${Painter} key=${image.dataUrl} image=${image} onMask=${(file) => painted.current === image.dataUrl && setMask(file)} />`}
      <${SchemaField} field=${field} value=${values.mask} onInput=${(files) => set("mask", files.length ? files : undefined)} />
    </div>
  </details>`;
}

function Painter({ image, onMask }) {
  const size = useImageSize(image.dataUrl);
  return size && html`<${SizedPainter} image=${image} size=${size} onMask=${onMask} />`;
}

function SizedPainter({ image, size, onMask }) {
  const canvas = useRef(null);
  const strokes = useRef(0);
  const last = useRef(null);
  const [width, setWidth] = useState(Math.round(Math.max(size.width, size.height) / 12));
  const [erasing, setErasing] = useState(false);
  const stroke = (from, to) => {
    const context = canvas.current.getContext("2d");
    context.globalCompositeOperation = erasing ? "destination-out" : "source-over";
    Object.assign(context, { lineCap: "round", lineJoin: "round", lineWidth: width, strokeStyle: "#14b8a6" });
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(to[0] + 0.01, to[1]);
    context.stroke();
  };
  const down = (place, event) => {
    if (event.isPrimary === false) return; // a second finger
    last.current = place;
    stroke(place, place);
  };
  const move = (place, event) => {
    if (!last.current || event.isPrimary === false) return;
    stroke(last.current, place);
    last.current = place;
  };
  const encode = async (number) => {
    const mask = await maskOf(canvas.current); // a large one takes a second
    if (number === strokes.current) onMask([mask]);
  };
  const up = (_, event) => {
    if (!last.current || event.isPrimary === false) return;
    last.current = null;
    const number = ++strokes.current;
    whileReading(() => encode(number));
  };
  const clear = () => {
    strokes.current += 1;
    canvas.current.getContext("2d").clearRect(0, 0, size.width, size.height);
    onMask(undefined);
  };
  const layer = html`<canvas ref=${canvas} width=${size.width} height=${size.height} class="stage-layer painted" aria-hidden="true"></canvas>`;
  return html`<${Stage} src=${image.dataUrl} ...${size} label="The image, to paint on" layers=${layer}
      pointer=${{ onPointerDown: down, onPointerMove: move, onPointerUp: up, onPointerCancel: up }} />
    <${Brush} erasing=${erasing} onErase=${setErasing} onClear=${clear} width=${width} onWidth=${setWidth} most=${Math.round(Math.max(size.width, size.height) / 3)} />`;
}

function Brush({ erasing, onErase, onClear, width, onWidth, most }) {
  return html`<div class="row">
    <button type="button" class="button small" aria-pressed=${!erasing} onClick=${() => onErase(false)}>Paint</button>
    <button type="button" class="button small" aria-pressed=${erasing} onClick=${() => onErase(true)}>Erase</button>
    <button type="button" class="button small quiet" onClick=${onClear}>Clear</button>
    <label class="row grow slider-row"><span class="muted">Brush</span>
      <input type="range" min="2" max=${most} value=${width} onInput=${(event) => onWidth(Number(event.currentTarget.value))} /></label>
  </div>`;
}

/** What was painted in white on black: white is redrawn. */
function maskOf(painted) {
  const { width, height } = painted;
  const white = Object.assign(document.createElement("canvas"), { width, height });
  const context = white.getContext("2d");
  context.drawImage(painted, 0, 0);
  context.globalCompositeOperation = "source-in";
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.globalCompositeOperation = "destination-over";
  context.fillStyle = "#000";
  context.fillRect(0, 0, width, height);
  return canvasFile(white, PAINTED);
}
