/** A cross over an image that arrow keys move, so that a keyboard can do there what the pointer can. */

import { html, useState } from "../../../lib/view.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const STEPS = 50; // from one side of the image to the other; with Shift, the cross moves by a pixel

/**
 * `pointer` and `onPlace` are those of a stage. Enter and Space press where the cross is, and release when pressed again;
 * Escape releases without effect.
 * @param {{ width: number, height: number, onPlace?: Function, pointer: Record<string, Function> }} stage
 * @returns {{ place: [number, number] | null, pressed: boolean, onKeyDown: (event: KeyboardEvent) => void, onBlur: (event: FocusEvent) => void }}
 */
export function useCursor({ width, height, onPlace, pointer }) {
  const [place, setPlace] = useState(null);
  const [pressed, setPressed] = useState(false);
  const current = place ?? [Math.round(width / 2), Math.round(height / 2)];
  const move = (arrow, event) => {
    const by = event.shiftKey ? 1 : Math.max(1, Math.round(Math.max(width, height) / STEPS));
    const next = [within(current[0] + arrow[0] * by, width), within(current[1] + arrow[1] * by, height)];
    setPlace(next);
    onPlace?.(next, event);
    pointer.onPointerMove?.(next, event);
  };
  const press = (event) => {
    setPlace(current);
    if (pressed) pointer.onPointerUp(current, event);
    else pointer.onPointerDown(current, event);
    setPressed(!pressed && Boolean(pointer.onPointerUp));
  };
  const release = (event) => {
    if (pressed) pointer.onPointerCancel?.(current, event);
    setPressed(false);
  };
  const onKeyDown = (event) => {
    if (ARROWS[event.key]) move(ARROWS[event.key], event);
    else if ((event.key === "Enter" || event.key === " ") && pointer.onPointerDown) event.repeat || press(event);
    else if (event.key === "Escape" && pressed) release(event);
    else return;
    event.preventDefault();
  };
  const onBlur = (event) => {
    release(event);
    if (place) onPlace?.(null, event);
    setPlace(null);
  };
  return { place, pressed, onKeyDown, onBlur };
}

function within(value, end) {
  return Math.min(Math.max(value, 0), end);
}

/** @param {{ place: [number, number], width: number, height: number, pressed: boolean }} props */
export function Cursor({ place: [x, y], width, height, pressed }) {
  const arm = Math.max(width, height) / 30;
  const path = `M${x - arm} ${y}H${x + arm}M${x} ${y - arm}V${y + arm}`;
  return html`<g class="stage-cursor" data-pressed=${pressed}>
    <path d=${path} stroke="#000" stroke-width=${arm / 3} /><path d=${path} stroke="#fff" stroke-width=${arm / 7} />
    ${pressed && html`<circle cx=${x} cy=${y} r=${arm / 2} fill="none" stroke="#fff" stroke-width=${arm / 7} />`}
  </g>`;
}
