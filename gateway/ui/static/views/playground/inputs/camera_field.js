/** The camera of an image: an angle of view replaces intrinsics that were not measured. */

import { html, useLayoutEffect } from "../../../lib/view.js";
import { SchemaField } from "./schema_field.js";
import { useImageSize } from "./use_image_size.js";

const USUAL = 60;

/** @param {{ values: any, set: (name: string, value: any) => void, fields: any[] }} props */
export function CameraField({ values, set, fields }) {
  const size = useImageSize([values.image ?? []].flat()[0]?.dataUrl);
  useLayoutEffect(() => set("image_size", size), [size]);
  const field = fields.find(({ name }) => name === "camera_intrinsics");
  return html`<label class="field"><span>Horizontal angle of view <span class="mono">${values.angle ?? USUAL}°</span></span>
      <input type="range" min="20" max="120" value=${values.angle ?? USUAL} onInput=${(event) => set("angle", Number(event.currentTarget.value))} /></label>
    <details class="more-fields"><summary>Measured intrinsics</summary>
      <${SchemaField} field=${field} value=${values.camera_intrinsics} onInput=${(value) => set("camera_intrinsics", value)} /></details>`;
}

/** The body with intrinsics for the angle of view, unless it has measured ones. */
export function prepareCamera(body, { angle = USUAL, image_size: size }) {
  if (body.camera_intrinsics || !size) return body;
  const focal = Math.round((size.width / 2 / Math.tan((angle * Math.PI) / 360)) * 10) / 10;
  return { ...body, camera_intrinsics: { fx: focal, fy: focal, cx: size.width / 2, cy: size.height / 2 } };
}
