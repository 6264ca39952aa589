/** An image with something drawn over it. Everything is in pixels of the upright image, whatever its size on the screen. */

import { html, useEffect, useRef, useState } from "../../../lib/view.js";
import { placeIn } from "../lib/geometry.js";
import { Cursor, useCursor } from "./cursor.js";

/**
 * `children` are SVG elements, or a function that makes them: it gets the length of 1% of a usual stage, 6 pixels of the
 * screen, in pixels of the image. `pointer` are handlers of the pointer that get its place first; where they handle moves,
 * fingers draw and do not scroll. With them or with `onPlace`, the keyboard can do the same. `layers` are canvases under the
 * children. `onPlace` gets the pointer's place, or null when it leaves.
 * @param {{ src: string, width: number, height: number, children?: unknown, layers?: unknown, label: string,
 *   onPlace?: (place: [number, number] | null, event: Event) => void, pointer?: Record<string, Function> }} props
 */
export function Stage({ src, width, height, children, layers, label, onPlace, pointer = {} }) {
  const element = useRef(null);
  const unit = (6 * width) / useShownWidth(element);
  const place = (event) => placeIn(event, element.current.getBoundingClientRect(), { width, height });
  const on = onPlace
    ? { onPointerMove: (event) => onPlace(place(event), event), onPointerLeave: (event) => onPlace(null, event) }
    : {};
  const handlers = Object.fromEntries(
    Object.entries(pointer).map(([name, handle]) => [name, (event) => (capture(name, event, pointer), handle(place(event), event))]),
  );
  const cursor = useCursor({ width, height, onPlace, pointer });
  const draws = Boolean(pointer.onPointerDown);
  const keys = draws || onPlace ? { tabIndex: 0, role: "application", onKeyDown: cursor.onKeyDown, onBlur: cursor.onBlur } : {};
  return html`<div class="stage-frame">
    <div ref=${element} class="stage" data-active=${Boolean(pointer.onPointerMove)} style=${{ aspectRatio: `${width} / ${height}`, "--shape": width / height }}
      ...${on} ...${handlers} ...${keys} aria-label=${keys.role && `${label}. Arrow keys move a cross${draws ? ", Enter presses and releases" : ""}.`}>
      <img src=${src} alt=${label} draggable=${false} />
      ${layers}
      <svg viewBox="0 0 ${width} ${height}" class="stage-drawing" aria-hidden="true">${typeof children === "function" ? children(unit) : children}${cursor.place &&
      html`<${Cursor} place=${cursor.place} width=${width} height=${height} pressed=${cursor.pressed} />`}</svg>
      ${cursor.place && html`<span class="visually-hidden" role="status">${cursor.place.join(", ")}${cursor.pressed ? ", pressed" : ""}</span>`}
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

/** What is dragged goes on outside of the stage. */
function capture(name, event, pointer) {
  if (name === "onPointerDown" && pointer.onPointerUp && event.isPrimary) event.currentTarget.setPointerCapture(event.pointerId);
}

/** The images of a request, in the order of the answer's items. @param {Record<string, any>} body @returns {string[]} */
export function imagesOf(body) {
  return [body.image, body.images].flat().filter(Boolean).map(asUrl);
}

function asUrl(text) {
  return /^(data:|https?:)/.test(text) ? text : `data:image/png;base64,${text}`;
}
