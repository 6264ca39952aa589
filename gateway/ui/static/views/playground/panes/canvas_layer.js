/** A canvas of the image's size, drawn again when what it shows has changed. */

import { html, useLayoutEffect, useRef } from "../../../lib/view.js";

/**
 * @param {{ width: number, height: number, draw: (context: CanvasRenderingContext2D) => void, drawn: unknown[],
 *   className?: string }} props `drawn` is what the drawing depends on
 */
export function CanvasLayer({ width, height, draw, drawn, className = "" }) {
  const canvas = useRef(null);
  useLayoutEffect(() => {
    const context = canvas.current.getContext("2d");
    context.clearRect(0, 0, width, height);
    draw(context);
  }, [width, height, ...drawn]);
  return html`<canvas ref=${canvas} width=${width} height=${height} class="stage-layer ${className}" aria-hidden="true"></canvas>`;
}

/**
 * Colours of pixels as an image that a canvas can draw at any size.
 * @param {Uint8ClampedArray} rgba
 * @param {number} width
 * @returns {HTMLCanvasElement}
 */
export function bitmap(rgba, width) {
  const height = rgba.length / 4 / width;
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  canvas.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
  return canvas;
}
