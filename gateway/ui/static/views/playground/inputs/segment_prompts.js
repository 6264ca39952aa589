/** What to segment: words, points and boxes that the pointer draws, or everything. */

import { html, useEffect, useState } from "../../../lib/view.js";
import { counted } from "../../../lib/format.js";
import { useStore } from "../../../lib/store.js";
import { css, labelColour } from "../lib/colours.js";
import { boxBetween, isBox } from "../lib/geometry.js";
import { catalogue } from "../lib/tasks.js";
import { Stage } from "../panes/stage.js";
import { SchemaField } from "./schema_field.js";
import { useImageSize } from "./use_image_size.js";

const WAYS = { words: "Words", pointer: "Points and boxes", everything: "Everything" };

/** @param {{ values: any, set: (name: string, value: any) => void, model: string, fields: any[] }} props */
export function SegmentPrompts({ values, set, model, fields }) {
  const { models } = useStore(catalogue);
  const features = models.find(({ id }) => id === model)?.features ?? [];
  useEffect(() => {
    if (!values.by) set("by", features.includes("prompt") || features.includes("*") ? "words" : "pointer");
  }, [model]);
  const field = (name) => fields.find((candidate) => candidate.name === name);
  return html`<fieldset class="stack">
    <legend>What to segment</legend>
    <div class="row" role="group" aria-label="How to choose">
      ${Object.entries(WAYS).map(
        ([way, title]) => html`<button key=${way} type="button" class="button small" aria-pressed=${values.by === way} onClick=${() => set("by", way)}>${title}</button>`,
      )}
    </div>
    ${values.by === "words" && html`<${SchemaField} field=${field("prompt")} value=${values.prompt} onInput=${(value) => set("prompt", value)} />`}
    ${values.by === "pointer" && html`<${DrawnPrompts} image=${values.image?.[0]} prompts=${listOf(values.prompts)} set=${(prompts) => set("prompts", prompts)} />
      <details><summary>As JSON</summary><${SchemaField} field=${field("prompts")} value=${asText(values.prompts)} onInput=${(value) => set("prompts", value)} /></details>`}
  </fieldset>`;
}

/** The body with what the chosen way needs, and nothing else. */
export function prepareSegment(body, { by }) {
  const { prompt, prompts, automatic, ...rest } = body;
  if (by === "everything") return { ...rest, automatic: true };
  if (by === "pointer") return prompts === undefined ? rest : { ...rest, prompts };
  return { ...body };
}

function listOf(prompts) {
  if (Array.isArray(prompts)) return prompts;
  try {
    return JSON.parse(prompts || "[]");
  } catch {
    return [];
  }
}

function asText(prompts) {
  return Array.isArray(prompts) ? JSON.stringify(prompts, null, 2) : prompts;
}

function DrawnPrompts({ image, prompts, set }) {
  const size = useImageSize(image?.dataUrl);
  const [label, setLabel] = useState(1);
  const [fresh, setFresh] = useState(true); // whether what is drawn next begins another object
  const [corner, setCorner] = useState(null);
  const [now, setNow] = useState(null);
  if (!image) return html`<p class="muted">Choose an image first.</p>`;
  if (!size) return null;
  const add = (change) => {
    const current = fresh || !prompts.length ? {} : prompts.at(-1);
    set([...(fresh ? prompts : prompts.slice(0, -1)), change(current)]);
    setFresh(false);
  };
  const up = (place, event) => {
    if (!corner || event.isPrimary === false) return;
    const box = boxBetween(corner, place);
    const kind = event.altKey || event.button === 2 ? 1 - label : label;
    add((prompt) => (isBox(box) ? withBox(prompt, box, kind) : withPoint(prompt, place, kind)));
    setCorner(null);
  };
  const down = (place, event) => {
    if (event.isPrimary === false) return; // a second finger
    setCorner(place);
    setNow(place);
  };
  const pointer = { onPointerDown: down, onPointerMove: (place, event) => corner && event.isPrimary !== false && setNow(place), onPointerUp: up, onPointerCancel: () => setCorner(null) };
  return html`<${Stage} src=${image.dataUrl} ...${size} label="The image, to draw on" pointer=${pointer}>
      ${(unit) => html`
        ${prompts.map((prompt, index) => html`<${DrawnPrompt} key=${index} prompt=${prompt} colour=${labelColour(index)} unit=${unit} />`)}
        ${corner && isBox(boxBetween(corner, now)) && html`<${BoxOutline} box=${boxBetween(corner, now)} colour=${[255, 255, 255]} unit=${unit} />`}`}
    </${Stage}>
    <div class="row">
      <button type="button" class="button small" aria-pressed=${label === 1} onClick=${() => setLabel(1)}>Include</button>
      <button type="button" class="button small" aria-pressed=${label === 0} onClick=${() => setLabel(0)}>Exclude</button>
      <button type="button" class="button small" disabled=${fresh} onClick=${() => setFresh(true)}>Next object</button>
      <button type="button" class="button small quiet" disabled=${!prompts.length} onClick=${() => (set([]), setFresh(true))}>Clear</button>
    </div>
    <small class="muted">Click for a point, drag for a box. By keyboard, arrow keys move a cross, and Enter presses and releases. ${prompts.length ? `${counted(prompts.length, "object")} drawn.` : ""}</small>`;
}

function withPoint(prompt, place, label) {
  const points = [...(prompt.points ?? []), place];
  return { ...prompt, points, point_labels: [...(prompt.point_labels ?? []), label] };
}

function withBox(prompt, box, label) {
  const boxes = [...(prompt.boxes ?? []), box];
  const labels = [...(prompt.box_labels ?? prompt.boxes?.map(() => 1) ?? []), label];
  return labels.includes(0) ? { ...prompt, boxes, box_labels: labels } : { ...prompt, boxes };
}

function DrawnPrompt({ prompt, colour, unit }) {
  return html`<g>
    ${(prompt.boxes ?? []).map((box, index) => html`<${BoxOutline} key=${`b${index}`} box=${box} colour=${colour} unit=${unit} dashed=${prompt.box_labels?.[index] === 0} />`)}
    ${(prompt.points ?? []).map(
      ([x, y], index) => html`<circle key=${index} cx=${x} cy=${y} r=${unit * 1.3} stroke="#fff" stroke-width=${unit * 0.5}
        fill=${prompt.point_labels?.[index] === 0 ? "#111" : css(colour)} />`,
    )}
  </g>`;
}

function BoxOutline({ box: [x0, y0, x1, y1], colour, unit, dashed }) {
  return html`<rect x=${x0} y=${y0} width=${x1 - x0} height=${y1 - y0} fill=${css(colour, 0.15)} stroke=${css(colour)} stroke-width=${unit * 0.5}
    stroke-dasharray=${dashed ? `${unit * 1.5} ${unit}` : undefined} />`;
}
