/** What the playground computes, without a browser. `VECTORS` is a file of what Python computes, `WRITTEN` one for
 * what Python checks. */

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { score, timecode } from "../../../../gateway/ui/static/lib/format.js";
import { bytesOf, floatsOf, limitsOf, similarities, similarTo } from "../../../../gateway/ui/static/views/playground/lib/arrays.js";
import { coloured, turbo } from "../../../../gateway/ui/static/views/playground/lib/colours.js";
import { boxBetween, isBox, placeIn } from "../../../../gateway/ui/static/views/playground/lib/geometry.js";
import { isInside, maskOfRuns, pixelsOf, tinted } from "../../../../gateway/ui/static/views/playground/lib/masks.js";
import { readPly, writePly } from "../../../../gateway/ui/static/views/playground/lib/ply.js";
import { bodyOf, FieldError, fieldsNotTaken, fieldsOf, labelOf, valuesOf } from "../../../../gateway/ui/static/views/playground/lib/schema.js";
import { curlOf, pythonOf } from "../../../../gateway/ui/static/views/playground/lib/snippets.js";
import { phasesOf, shares } from "../../../../gateway/ui/static/views/playground/lib/timing.js";

const vectors = JSON.parse(readFileSync(process.env.VECTORS, "utf8"));
const base64 = (array) => Buffer.from(array.buffer).toString("base64");

test("decodes the run lengths of masks as the server encodes them", () => {
  for (const { pixels, counts } of vectors.masks) {
    const [height, width] = [pixels.length, pixels[0].length];
    assert.deepEqual([...maskOfRuns(counts, height, width)], pixels.flat());
    assert.deepEqual([...pixelsOf({ counts, size: [height, width] })], pixels.flat());
  }
});

test("outlines masks and knows what is inside", () => {
  const mask = Uint8Array.from([0, 0, 0, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1]);
  const rgba = tinted(mask, 4, [1, 2, 3], 90);
  assert.deepEqual([...rgba.slice(0, 4)], [0, 0, 0, 0]);
  assert.deepEqual([...rgba.slice(10 * 4, 10 * 4 + 4)], [1, 2, 3, 90]);
  assert.equal(rgba[5 * 4 + 3], 255);
  assert.ok(isInside(mask, 4, 1.5, 1.5) && !isInside(mask, 4, 0, 0) && !isInside(mask, 4, 4, 1));
});

test("colours depth from near to far", () => {
  assert.ok(turbo(0.1)[2] > turbo(0.1)[0] && turbo(0.95)[0] > turbo(0.95)[2]);
  const rgba = coloured([1, 2, NaN], 1, 2);
  assert.deepEqual([...rgba.slice(0, 3)], turbo(0));
  assert.deepEqual([...rgba.slice(4, 7)], turbo(1));
  assert.equal(rgba[11], 0);
  assert.deepEqual([...coloured([1, 2], 1, 2, true).slice(0, 3)], turbo(1));
});

test("reads arrays as base64 and as lists", () => {
  const values = Float32Array.from([1.5, -2, 0, 4]);
  assert.deepEqual(floatsOf(base64(values)), values);
  assert.deepEqual(floatsOf([[1.5, -2], [0, 4]]), values);
  assert.deepEqual(limitsOf([3, NaN, -1]), [-1, 3]);
  assert.deepEqual([...bytesOf("AQI=")], [1, 2]);
});

test("compares vectors", () => {
  const [[own, other]] = similarities([[3, 4], [4, -3]]);
  assert.ok(Math.abs(own - 1) < 1e-9 && Math.abs(other) < 1e-9);
  const near = similarTo(Float32Array.from([1, 0, 2, 0, 0, 5]), 2, 0);
  assert.deepEqual([...near], [1, 1, 0]);
});

test("writes and reads point clouds", () => {
  const positions = Float32Array.from([1, 2, 3, -4, 5.5, 6]);
  const colours = Uint8Array.from([255, 0, 1, 2, 3, 4]);
  assert.deepEqual(readPly(writePly(positions, colours)), { positions, colours });
  assert.deepEqual(readPly(writePly(positions, null)), { positions, colours: null });
  assert.throws(() => readPly(Uint8Array.from([1, 2, 3])), /not a binary/);
  const served = readPly(bytesOf(vectors.ply.file));
  assert.deepEqual([...served.positions], vectors.ply.points.flat());
  assert.deepEqual([...served.colours], vectors.ply.colours.flat());
});

test("finds the pointer's place in the image", () => {
  const bounds = { left: 10, top: 20, width: 200, height: 100 };
  assert.deepEqual(placeIn({ clientX: 110, clientY: 70 }, bounds, { width: 400, height: 200 }), [200, 100]);
  assert.deepEqual(placeIn({ clientX: 0, clientY: 999 }, bounds, { width: 400, height: 200 }), [0, 200]);
  assert.deepEqual(boxBetween([9, 2], [3, 8]), [3, 2, 9, 8]);
  assert.ok(isBox([3, 2, 9, 8]) && !isBox([3, 2, 4, 8]));
});

test("reads Server-Timing", () => {
  assert.deepEqual(phasesOf("queue;dur=1.5, infer;dur=20;desc=x, odd"), [{ name: "queue", ms: 1.5 }, { name: "infer", ms: 20 }]);
  assert.deepEqual(shares("infer;dur=20", 25), [{ name: "infer", ms: 20 }, { name: "transfer", ms: 5 }]);
  assert.deepEqual(phasesOf(null), []);
});

test("makes a form for every task, and its example from what the form holds", () => {
  for (const task of vectors.tasks) {
    const fields = fieldsOf(task);
    const names = fields.map((field) => field.name);
    assert.equal(new Set(names).size, names.length);
    const { model, ...example } = task.request.example;
    const body = bodyOf(fields, valuesOf(fields, example));
    assert.deepEqual(Object.keys(body).sort(), Object.keys(example).sort(), task.id);
    for (const name of names.filter((name) => !["image", "audio"].includes(fields.find((field) => field.name === name).kind))) {
      if (name in example) assert.deepEqual([body[name]].flat(), [example[name]].flat(), `${task.id}.${name}`);
    }
  }
});

test("chooses how each field is entered", () => {
  const fieldIn = (id, name) => fieldsOf(vectors.tasks.find((task) => task.id === id)).find((field) => field.name === name);
  const kinds = (id, ...names) => names.map((name) => fieldIn(id, name).kind);
  assert.deepEqual(kinds("detect", "image", "prompt", "box_threshold", "max_detections", "points"), ["image", "strings", "range", "number", "maybe"]);
  assert.deepEqual(kinds("segment", "prompts", "format", "detector"), ["json", "choice", "text"]);
  assert.deepEqual(kinds("transcription", "file", "stream", "temperature"), ["audio", "flag", "range"]);
  assert.deepEqual(kinds("crawl", "url", "wait_for_js", "viewport"), ["text", "flag", "json"]);
  assert.deepEqual(kinds("image-edit", "prompt", "mask", "strength"), ["long", "image", "range"]);
  const prompt = fieldIn("completions", "prompt");
  assert.equal(prompt.kind, "long");
  assert.deepEqual(["[1, 2]", "[odd", "a b"].map((text) => bodyOf([prompt], { prompt: text }).prompt), [[1, 2], "[odd", "a b"]);
  assert.equal(fieldIn("image-edit", "background").group, "inert");
  assert.deepEqual(fieldIn("transcription", "response_format").options, ["json", "text", "srt", "verbose_json", "vtt"]);
  assert.equal(fieldIn("detect", "images"), undefined);
  assert.ok(fieldIn("image-edit", "image").several && !fieldIn("image-edit", "mask").several);
  assert.ok(fieldIn("rerank", "query").required);
});

test("begins a form with what matters", () => {
  const names = (id) => fieldsOf(vectors.tasks.find((task) => task.id === id)).filter(({ group, kind }) => group === "main" && kind !== "image").map(({ name }) => name);
  assert.equal(names("embeddings")[0], "input");
  assert.deepEqual(names("speech").slice(0, 2), ["input", "voice"]);
  assert.equal(labelOf("url"), "URL");
  assert.equal(labelOf("stop_token_ids"), "Stop token IDs");
  assert.equal(labelOf("n"), "Count (n)");
});

test("knows the fields that a model does not take", () => {
  assert.deepEqual(fieldsNotTaken(["prompt"], { features: ["points"] }), ["prompt"]);
  for (const model of [undefined, { features: ["*"] }, { features: ["prompt"] }]) assert.deepEqual(fieldsNotTaken(["prompt"], model), []);
});

test("writes scores and times of recordings in equal widths", () => {
  assert.deepEqual([score(1), score(0.5, 3), score(null)], ["1.00", "0.500", "–"]);
  assert.deepEqual([0, 59.999, 61.5, 3723.25].map(timecode), ["0:00.00", "1:00.00", "1:01.50", "1:02:03.25"]);
});

test("leaves a field's name out of the beginning of its description", () => {
  const hintOf = (description) => fieldsOf({ request: { schema: { properties: { size: { type: "string", description } } }, fields: {} } })[0].description;
  assert.equal(hintOf("`size` is how large it is."), "How large it is.");
  assert.equal(hintOf("`size` limits what is drawn."), "Limits what is drawn.");
  assert.equal(hintOf("`size` `auto` is that of the image."), "auto is that of the image.");
  assert.equal(hintOf("`size`, `n`: the same."), "size, n: the same.");
});

test("says which field does not hold what it needs", () => {
  const fields = fieldsOf(vectors.tasks.find((task) => task.id === "crawl"));
  assert.throws(() => bodyOf(fields, {}), (error) => error instanceof FieldError && error.param === "url");
  assert.throws(() => bodyOf(fields, { url: "http://x", viewport: "{" }), /Viewport is not JSON/);
  assert.throws(() => bodyOf(fields, { url: "http://x", timeout: "soon" }), /Timeout must be a number/);
  assert.deepEqual(bodyOf(fields, { url: "http://x", timeout: 30, links: false }), { url: "http://x" });
});

test("writes curl and Python for requests", () => {
  const image = "data:image/png;base64,aGVsbG8=";
  const chat = { stream: true, messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: image } }, { type: "text", text: "It's $5 `now`\\n" }] }] };
  const requests = [
    ...vectors.tasks.map((task) => ({ path: task.path, body: bodyOf(fieldsOf(task), valuesOf(fieldsOf(task), task.request.example)), form: Boolean(task.request.form) })),
    { path: "/v1/chat/completions", body: chat, hasKey: true },
    { path: "/v1/vision/detect", body: { image: [image, `${image}a`], prompt: ["a", "it's"] }, form: true },
  ];
  const written = requests.map((sent) => ({
    ...sent,
    curl: curlOf({ origin: vectors.origin, ...sent }),
    python: pythonOf({ origin: vectors.origin, ...sent }),
  }));
  assert.match(written.at(-1).curl, /-F image=@image.png .*\n? *-F image=@image-2.png/s);
  assert.match(written.at(-2).curl, /curl -N .*\$ENGINEHOUSE_KEY/s);
  writeFileSync(process.env.WRITTEN, JSON.stringify(written));
});
