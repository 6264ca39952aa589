/** A picture with something drawn over it. Everything is in pixels of the upright picture, whatever its size on the screen. */

import { html, useEffect, useRef, useState } from "../../../lib/view.js";
import { placeIn } from "../lib/geometry.js";

/**
 * `children` are SVG elements, or a function that makes them: it gets the length of 1% of a usual stage, 6 pixels of the
 * screen, in pixels of the picture. Where `pointer` handles moves, fingers draw and do not scroll. `layers` are canvases under them. `onPlace` gets the pointer's place, or null when it leaves.
 * @param {{ src: string, width: number, height: number, children?: unknown, layers?: unknown, label: string,
 *   onPlace?: (place: [number, number] | null, event: PointerEvent) => void, pointer?: object }} props
 */
export function Stage({ src, width, height, children, layers, label, onPlace, pointer = {} }) {
  const element = useRef(null);
  const unit = (6 * width) / useShownWidth(element);
  const place = (event) => placeIn(event, element.current.getBoundingClientRect(), { width, height });
  const on = onPlace
    ? { onPointerMove: (event) => onPlace(place(event), event), onPointerLeave: (event) => onPlace(null, event) }
    : {};
  const handlers = Object.fromEntries(
    Object.entries(pointer).map(([name, handle]) => [name, (event) => handle(place(event), event)]),
  );
  return html`<div class="stage-frame">
    <div ref=${element} class="stage" data-active=${Boolean(pointer.onPointerMove)} style=${{ aspectRatio: `${width} / ${height}`, "--shape": width / height }}
      ...${on} ...${handlers}>
      <img src=${src} alt=${label} draggable=${false} />
      ${layers}
      <svg viewBox="0 0 ${width} ${height}" class="stage-drawing" aria-hidden="true">${typeof children === "function" ? children(unit) : children}</svg>
    </div>
  </div>`;
}

/** How wide an element is on the screen; a usual width until it is known. */
function useShownWidth(element) {
  const [shown, setShown] = useState(600);
  useEffect(() => {
    const observer = new ResizeObserver(([{ contentRect }]) => contentRect.width && setShown(contentRect.width));
    observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return shown;
}

/** The pictures of a request, in the order of the answer's items. @param {Record<string, any>} body @returns {string[]} */
export function picturesOf(body) {
  return [body.image, body.images].flat().filter(Boolean).map(asUrl);
}

function asUrl(text) {
  return /^(data:|https?:)/.test(text) ? text : `data:image/png;base64,${text}`;
}
