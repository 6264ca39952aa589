/** What the forms of some tasks have beside the fields of their schemas. */

import { CameraField, prepareCamera } from "./inputs/camera_field.js";
import { MaskInput } from "./inputs/mask_painter.js";
import { prepareSegment, SegmentPrompts } from "./inputs/segment_prompts.js";

/**
 * What the form of a task has beside the fields of its schema: `Input` is entered by hand in place of `fields`, `preset`
 * are values to begin with, `prepare` completes the body, `asJob` runs it as a job, which reports its steps. `featured` are
 * fields that only models with a feature of the same name take, each with what is said in its place for others.
 * @typedef {{ Input?: Function, fields?: string[], preset?: object, prepare: (body: object, values: object) => object,
 *   asJob?: boolean, featured: Record<string, string | null> }} Adapter
 */

const PLAIN = { prepare: (body) => body, featured: {} };

/** @type {Record<string, Partial<Adapter>>} */
const ADAPTERS = {
  depth: { preset: { format: undefined } },
  detect: { featured: { prompt: "It finds the classes that it was trained on, so it takes no prompt.", text_threshold: null, points: null } },
  features: { preset: { patches: true, encoding_format: "base64" } },
  "image-edit": { asJob: true, Input: MaskInput, fields: ["mask"] },
  "image-generation": { asJob: true },
  "image-variation": { asJob: true },
  pointcloud: { preset: { colors: true, depth: false }, Input: CameraField, fields: ["camera_intrinsics"], prepare: prepareCamera },
  rerank: { preset: { top_n: undefined } },
  segment: { Input: SegmentPrompts, fields: ["prompt", "prompts", "automatic"], prepare: prepareSegment },
};

/** @param {{ id: string }} task @returns {Adapter} */
export function adapterFor(task) {
  return { ...PLAIN, ...ADAPTERS[task.id] };
}
