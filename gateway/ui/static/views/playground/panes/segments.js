/** Masks over an image, each in its colour: the one under the pointer stands out, and a slider hides lower scores. */

import { html, useEffect, useMemo, useState } from "../../../lib/view.js";
import { number, score as scored } from "../../../lib/format.js";
import { labelColour } from "../lib/colours.js";
import { loadImage } from "../lib/files.js";
import { isInside, pixelsOf, tinted } from "../lib/masks.js";
import { bitmap, CanvasLayer } from "./canvas_layer.js";
import { LabelledBox, onTop, ScoredList, ScoreSlider, shortened } from "./detections.js";
import { imagesOf, Stage } from "./stage.js";

const ALPHA = 110;

/** @param {{ outcome: import("../lib/send.js").Outcome }} props */
export function SegmentsPane({ outcome }) {
  const [least, setLeast] = useState(-Infinity);
  const images = imagesOf(outcome.body);
  const items = outcome.value.data;
  return html`
    <${ScoreSlider} value=${least} onInput=${setLeast} scores=${items.flatMap((item) => item.segments.map(({ score }) => score))} />
    ${items.map((item) => html`<${Segments} key=${item.index} item=${item} src=${images[item.index]} least=${least} />`)}`;
}

function Segments({ item, src, least }) {
  const [pointed, setPointed] = useState(-1);
  const [boxes, setBoxes] = useState(true);
  const masks = useMasks(item);
  const shown = item.segments.map((segment, index) => ({ ...segment, index })).filter(({ score }) => score >= least);
  const smallestFirst = [...shown].sort((one, other) => one.area - other.area);
  const under = (place) => place && smallestFirst.find(({ index }) => masks[index] && isInside(masks[index].pixels, item.width, ...place));
  const draw = (context) => {
    for (const { index } of [...smallestFirst].reverse()) {
      context.globalAlpha = pointed >= 0 && pointed !== index ? 0.25 : 1;
      if (masks[index]) context.drawImage(masks[index].image, 0, 0, item.width, item.height);
    }
  };
  const layer = html`<${CanvasLayer} width=${item.width} height=${item.height} draw=${draw} drawn=${[masks, least, pointed]} />`;
  return html`<${Stage} src=${src} width=${item.width} height=${item.height} label="The image with ${shown.length} masks" layers=${layer}
      onPlace=${(place) => setPointed(under(place)?.index ?? -1)}>
      ${(unit) =>
        boxes &&
        onTop(shown, pointed).map(
          ({ index, label, score, box }) => html`<${LabelledBox} key=${index} box=${box} colour=${labelColour(index)} image=${item} unit=${unit}
            text="${shortened(label ?? String(index + 1))} ${scored(score)}" faded=${pointed >= 0 && pointed !== index} />`,
        )}
    </${Stage}>
    ${item.segments.length > 0 &&
    html`<label class="check-field"><input type="checkbox" checked=${boxes} onChange=${() => setBoxes(!boxes)} /><span>Boxes and labels</span></label>`}
    <${ScoredList} rows=${shown} colourOf=${({ index }) => labelColour(index)} pointed=${pointed} onPoint=${setPointed}
      detail=${({ area }) => `${number(area)} pixels`} empty=${item.segments.length ? "No mask has a score this high." : null} />`;
}

/** The masks of an item as pixels and as images in their colours; those in PNG files are decoded first. */
function useMasks(item) {
  const plain = useMemo(() => item.segments.map(({ mask }, index) => asMask(pixelsOf(mask) ?? polygonPixels(mask, item), item, index)), [item]);
  const [masks, setMasks] = useState(plain);
  useEffect(() => {
    let current = true;
    const decode = async ({ mask }, index) => plain[index] ?? (mask.png ? asMask(await pngPixels(mask.png, item), item, index) : null);
    Promise.all(item.segments.map(decode)).then((decoded) => current && setMasks(decoded));
    return () => (current = false);
  }, [item]);
  return masks;
}

function asMask(pixels, { width }, index) {
  return pixels && { pixels, image: bitmap(tinted(pixels, width, labelColour(index), ALPHA), width) };
}

async function pngPixels(base64, { width, height }) {
  const context = contextOf(width, height);
  context.drawImage(await loadImage(`data:image/png;base64,${base64}`), 0, 0);
  return insideOf(context, width, height, 0);
}

/** Outlines filled, without antialiasing at the edges. */
function polygonPixels(mask, { width, height }) {
  if (!mask.polygons) return null;
  const context = contextOf(width, height);
  context.beginPath();
  for (const polygon of mask.polygons) {
    polygon.forEach(([x, y], index) => (index ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.closePath();
  }
  context.fill();
  return insideOf(context, width, height, 3);
}

function contextOf(width, height) {
  return Object.assign(document.createElement("canvas"), { width, height }).getContext("2d", { willReadFrequently: true });
}

function insideOf(context, width, height, channel) {
  const { data } = context.getImageData(0, 0, width, height);
  return Uint8Array.from({ length: width * height }, (_, index) => (data[index * 4 + channel] > 127 ? 1 : 0));
}
