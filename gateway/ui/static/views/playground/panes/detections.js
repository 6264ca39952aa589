/** Objects in an image: their boxes and labels over it, and a slider that hides those with lower scores. */

import { html, useState } from "../../../lib/view.js";
import { score as scored } from "../../../lib/format.js";
import { css, labelColour } from "../lib/colours.js";
import { lettersWide } from "../lib/text_width.js";
import { imagesOf, Stage } from "./stage.js";

const LONGEST = 24;

/** @param {{ outcome: import("../lib/send.js").Outcome }} props */
export function DetectionsPane({ outcome }) {
  const [least, setLeast] = useState(0);
  const images = imagesOf(outcome.body);
  const items = outcome.value.data;
  const labels = [...new Set(items.flatMap((item) => item.detections.map(({ label }) => label)))];
  const colourOf = (label) => labelColour(labels.indexOf(label));
  return html`
    <${ScoreSlider} value=${least} onInput=${setLeast} scores=${items.flatMap((item) => item.detections.map(({ score }) => score))} />
    ${items.map(
      (item) => html`<${Detections} key=${item.index} item=${item} src=${images[item.index]} least=${least} colourOf=${colourOf} />`,
    )}`;
}

function Detections({ item, src, least, colourOf }) {
  const [pointed, setPointed] = useState(-1);
  const shown = item.detections.map((detection, index) => ({ ...detection, index })).filter(({ score }) => score >= least);
  const inside = (place) => {
    if (!place) return -1;
    const under = shown.filter(({ box: [x0, y0, x1, y1] }) => place[0] >= x0 && place[0] <= x1 && place[1] >= y0 && place[1] <= y1);
    return under.sort((one, other) => area(one.box) - area(other.box))[0]?.index ?? -1;
  };
  return html`<${Stage} src=${src} width=${item.width} height=${item.height} label="The image with ${shown.length} objects"
      onPlace=${(place) => setPointed(inside(place))}>
      ${(unit) => html`
        ${onTop(shown, pointed).map(
          ({ index, label, score, box }) => html`<${LabelledBox} key=${index} box=${box} colour=${colourOf(label)} image=${item} unit=${unit}
            text="${shortened(label)} ${scored(score)}" faded=${pointed >= 0 && pointed !== index} />`,
        )}
        ${(item.points ?? []).map(
          ({ label, point: [x, y] }, index) => html`<circle key=${`p${index}`} cx=${x} cy=${y} r=${unit} fill=${css(colourOf(label))} />`,
        )}`}
    </${Stage}>
    <${ScoredList} rows=${shown} colourOf=${(row) => colourOf(row.label)} pointed=${pointed} onPoint=${setPointed}
      detail=${({ box }) => box.map((side) => Math.round(side)).join(", ")} empty=${item.detections.length ? "No object has a score this high." : null} />`;
}

function area([x0, y0, x1, y1]) {
  return (x1 - x0) * (y1 - y0);
}

/** The one under the pointer last, so that it covers the others. */
export function onTop(rows, pointed) {
  return pointed < 0 ? rows : [...rows.filter(({ index }) => index !== pointed), ...rows.filter(({ index }) => index === pointed)];
}

/** A label that leaves room for others in the image; the list has all of it. */
export function shortened(label) {
  return label.length > LONGEST ? `${label.slice(0, LONGEST - 1)}…` : label;
}

/** A box with its label at its top. `unit` is that of `Stage`. */
export function LabelledBox({ box: [x0, y0, x1, y1], colour, text, image, unit, faded }) {
  const height = unit * 3;
  const width = lettersWide(text) * unit * 2.2 + unit;
  const top = y0 > height ? y0 - height : y0;
  const left = Math.max(0, Math.min(x0, image.width - width));
  return html`<g opacity=${faded ? 0.25 : 1}>
    <rect x=${x0} y=${y0} width=${Math.max(0, x1 - x0)} height=${Math.max(0, y1 - y0)} fill="none" stroke=${css(colour)} stroke-width=${unit * 0.5} />
    <rect x=${left} y=${top} width=${width} height=${height} fill=${css(colour)} />
    <text x=${left + unit * 0.5} y=${top + unit * 2.2} font-size=${unit * 2.2} class="box-label">${text}</text>
  </g>`;
}

/** Shows what has at least this score; the answer has the rest, so nothing is sent again. */
export function ScoreSlider({ value, onInput, scores }) {
  if (!scores.length) return html`<p class="muted">The model found nothing. Try a lower threshold, or ask for something else.</p>`;
  const [low, high] = [Math.min(...scores), Math.max(...scores)];
  const step = Math.max((high - low) / 100, 0.001);
  const shown = scores.filter((score) => score >= value).length;
  return html`<label class="field score-slider">
    <span>Score of at least <span class="mono">${scored(Math.max(value, low))}</span> <span class="muted">${shown} of ${scores.length}</span></span>
    <input type="range" min=${low} max=${high + step} step=${step} value=${Math.max(value, low)} disabled=${low === high}
      onInput=${(event) => onInput(Number(event.currentTarget.value))} />
  </label>`;
}

/** What was found, as a list whose rows show their place in the image; `empty` is said of an empty one. */
export function ScoredList({ rows, colourOf, pointed, onPoint, detail, empty }) {
  if (!rows.length) return empty ? html`<p class="muted">${empty}</p>` : null;
  return html`<ol class="plain scored-list" tabindex="0" aria-label="What was found">
    ${rows.map(
      (row) => html`<li key=${row.index} data-pointed=${row.index === pointed} onPointerEnter=${() => onPoint(row.index)}
        onPointerLeave=${() => onPoint(-1)}>
        <span class="label-swatch" style=${{ background: css(colourOf(row)) }}></span>
        <span class="grow cut">${row.label ?? `object ${row.index + 1}`}</span>
        <span class="mono muted detail">${detail(row)}</span>
        <span class="mono">${scored(row.score, 3)}</span>
      </li>`,
    )}
  </ol>`;
}
