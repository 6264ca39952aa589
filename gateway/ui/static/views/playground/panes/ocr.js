/** The text of an image over it, line by line, and beside it to copy. */

import { html, useState } from "../../../lib/view.js";
import { score as scored } from "../../../lib/format.js";
import { CopyButton } from "../request_code.js";
import { imagesOf, Stage } from "./stage.js";

/** @param {{ outcome: import("../lib/send.js").Outcome }} props */
export function OcrPane({ outcome }) {
  const images = imagesOf(outcome.body);
  return outcome.value.data.map((item) => html`<${ReadImage} key=${item.index} item=${item} src=${images[item.index]} />`);
}

function ReadImage({ item, src }) {
  const [pointed, setPointed] = useState(-1);
  const [cover, setCover] = useState(true);
  const located = item.lines.filter(({ polygon }) => polygon.length > 2);
  const under = (place) => (place ? item.lines.findIndex(({ polygon }) => contains(polygon, place)) : -1);
  return html`
    ${located.length > 0 &&
    html`<${Stage} src=${src} width=${item.width} height=${item.height} label="The image with its text" onPlace=${(place) => setPointed(under(place))}>
        ${item.lines.map((line, index) => html`<${Line} key=${index} line=${line} cover=${cover} pointed=${index === pointed} />`)}
      </${Stage}>
      <label class="check-field"><input type="checkbox" checked=${cover} onChange=${() => setCover(!cover)} /><span>Text over the image</span></label>`}
    ${item.lines.length > 0 &&
    html`<ol class="plain scored-list" tabindex="0" aria-label="Lines">
      ${item.lines.map(
        (line, index) => html`<li key=${index} data-pointed=${index === pointed} onPointerEnter=${() => setPointed(index)} onPointerLeave=${() => setPointed(-1)}>
          <span class="grow answer-text">${line.text}</span><span class="mono muted">${scored(line.score, 3)}</span>
        </li>`,
      )}
    </ol>`}
    ${!item.lines.length && html`<p class="answer-text pre-wrap">${item.text || "No text was found."}</p>`}
    <div class="row end"><${CopyButton} text=${item.text} label="Copy the text" /></div>`;
}

/** A line's outline, and its text as wide as the line. */
function Line({ line: { polygon, text }, cover, pointed }) {
  if (polygon.length < 3) return null;
  const [[x0, y0], [x1, y1]] = polygon;
  const [x3, y3] = polygon.at(-1);
  const length = Math.hypot(x1 - x0, y1 - y0);
  const height = Math.hypot(x3 - x0, y3 - y0);
  const angle = (Math.atan2(y1 - y0, x1 - x0) * 180) / Math.PI;
  return html`<g class="ocr-line" data-pointed=${pointed} data-cover=${cover}>
    <polygon points=${polygon.map((corner) => corner.join(",")).join(" ")} stroke-width=${Math.max(1, height / 20)} />
    ${cover &&
    html`<text transform="translate(${x3} ${y3}) rotate(${angle})" y=${-height * 0.22} font-size=${height * 0.8} textLength=${length}
      lengthAdjust="spacingAndGlyphs">${text}</text>`}
  </g>`;
}

/** Whether a place is inside a polygon (even-odd rule). */
function contains(polygon, [x, y]) {
  let inside = false;
  for (let index = 0, last = polygon.length - 1; index < polygon.length; last = index++) {
    const [[xi, yi], [xj, yj]] = [polygon[index], polygon[last]];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}
