/** From the JSON schema of a task's request to the fields of a form, and from what was entered to the request's body. */

/**
 * A field of a form. `kind` is how it is entered; `group` is `main`, `more`, or `inert` for what has no effect here.
 * @typedef {{ name: string, label: string, kind: "text" | "long" | "number" | "range" | "flag" | "maybe" | "choice"
 *   | "strings" | "image" | "audio" | "json", group: "main" | "more" | "inert", required: boolean, fallback: unknown,
 *   description: string, options?: string[], minimum?: number, maximum?: number, step?: number, several?: boolean,
 *   single?: boolean, orJson?: boolean, hint?: string, feature?: string }} FormField
 */

const OWN_CONTROLS = new Set(["model", "keep_alive"]);
const MAIN = new Set([
  "prompt", "input", "query", "documents", "url", "tokens", "text", "voice", "size", "n", "strength", "task", "steps",
  "negative_prompt", "seed", "format", "threshold", "box_threshold", "points", "patches", "language", "max_tokens",
]);
const LONG = new Set(["prompt", "input", "query", "text", "instruction", "negative_prompt", "suffix"]);
const LONG_FROM = 4096;
const SLIDER_SPAN = 100;
const FEW = 3; // so many more options are not worth hiding

/**
 * The fields of a task's form, in the order of its schema, files first.
 * @param {{ request: { schema: object, fields: Record<string, object> } }} task
 * @returns {FormField[]}
 */
export function fieldsOf(task) {
  const { schema, fields: facts } = task.request;
  const names = Object.keys(schema.properties).filter((name) => !OWN_CONTROLS.has(name));
  const has = (name) => facts[name]?.upload;
  const fields = names
    .filter((name) => !(name === "images" && has("image") && has("images"))) // `image` takes a list too
    .map((name) => fieldOf(name, schema, facts[name] ?? {}));
  const rest = fields.filter((field) => field.group === "more");
  if (rest.length <= FEW) for (const field of rest) field.group = "main";
  const rank = (field) => (field.kind === "image" || field.kind === "audio" ? 0 : field.required ? 1 : MAIN.has(field.name) ? 2 : 3);
  return fields.sort((one, other) => rank(one) - rank(other));
}

function fieldOf(name, schema, facts) {
  const property = schema.properties[name];
  const required = (schema.required ?? []).includes(name);
  const shape = facts.upload ? { kind: facts.upload, several: facts.several } : shapeOf(name, property, schema.$defs ?? {});
  const inert = ["refused", "neutral", "ignored"].includes(facts.treatment) && !facts.values;
  const main = required || facts.upload || MAIN.has(name);
  return {
    name,
    label: labelOf(name),
    group: inert ? "inert" : main ? "main" : "more",
    required,
    fallback: property.default ?? null,
    description: plain(withoutName(property.description ?? facts.hint ?? "", name)),
    feature: facts.feature,
    ...shape,
    ...(facts.values ? { kind: "choice", options: facts.values } : {}), // those that are not refused
  };
}

const ACRONYMS = /\b(?:api|id|ids|js|json|url)\b/g;

/** `max_tokens` as `Max tokens`, `url` as `URL`; `n`, which is no word, as `Count (n)`. */
export function labelOf(name) {
  if (name === "n") return "Count (n)";
  const words = name.replaceAll("_", " ").replace(ACRONYMS, (word) => word.toUpperCase().replace("IDS", "IDs"));
  return words[0].toUpperCase() + words.slice(1);
}

/** A description that begins with its field's name, without it: "`n` is how many" as "How many". The label has the name. */
function withoutName(text, name) {
  const start = new RegExp(`^\`${name}\` (?:is |are )?(?=[\\w\`])`).exec(text)?.[0] ?? "";
  const rest = text.slice(start.length);
  return rest ? rest[0].toUpperCase() + rest.slice(1) : "";
}

/** A description without the marks of code. */
function plain(text) {
  return text.replaceAll("`", "");
}

function shapeOf(name, property, definitions) {
  const variants = variantsOf(property, definitions);
  const types = new Set(variants.map((variant) => variant.type));
  const choices = variants.flatMap((variant) => variant.enum ?? (variant.const === undefined ? [] : [variant.const]));
  if (variants.length && variants.every((variant) => variant.enum || variant.const !== undefined)) {
    return { kind: "choice", options: choices.map(String) };
  }
  if (variants.length === 1) {
    const [variant] = variants;
    if (variant.type === "boolean") return { kind: property.default === null ? "maybe" : "flag" };
    if (variant.type === "number" || variant.type === "integer") return numeric(variant);
    if (variant.type === "string") return textual(name, variant);
  }
  const list = variants.find((variant) => variant.type === "array");
  if (list && takesStrings(list, definitions) && [...types].every((type) => type === "array" || type === "string")) {
    return { kind: "strings", single: types.has("string") };
  }
  return types.has("string") ? { kind: "long", orJson: true } : { kind: "json" };
}

function numeric(variant) {
  const whole = variant.type === "integer";
  const minimum = variant.minimum ?? variant.exclusiveMinimum;
  const maximum = variant.maximum ?? variant.exclusiveMaximum;
  const spans = minimum !== undefined && maximum !== undefined && maximum - minimum <= SLIDER_SPAN;
  const step = whole ? 1 : spans && maximum - minimum <= 2 ? 0.01 : spans ? 0.1 : undefined;
  return { kind: spans ? "range" : "number", minimum, maximum, step };
}

function textual(name, variant) {
  const long = LONG.has(name) || (variant.maxLength ?? 0) > LONG_FROM;
  return { kind: long && name !== "url" ? "long" : "text" };
}

function takesStrings(list, definitions) {
  const items = variantsOf(list.items ?? {}, definitions);
  return items.some((item) => item.type === "string");
}

/** The alternatives of a schema, without null, each with its reference resolved. */
function variantsOf(property, definitions) {
  const alternatives = property.anyOf ?? property.oneOf ?? [property];
  return alternatives
    .flatMap((variant) => (variant.anyOf ?? variant.oneOf ?? [variant]))
    .map((variant) => (variant.$ref ? (definitions[variant.$ref.split("/").at(-1)] ?? {}) : variant))
    .filter((variant) => variant.type !== "null");
}

/**
 * Those fields that a model does not take, by its features, which have the names of the fields.
 * @param {string[]} names of fields that only some models take
 * @param {{ features: string[] } | undefined} model undefined: it is not known which one answers
 * @returns {string[]}
 */
export function fieldsNotTaken(names, model) {
  const features = model?.features ?? ["*"];
  return features.includes("*") ? [] : names.filter((name) => !features.includes(name));
}

/** A field that does not hold what its kind needs. */
export class FieldError extends Error {
  /** @param {string} field @param {string} message */
  constructor(field, message) {
    super(message);
    this.name = "FieldError";
    this.param = field;
  }
}

/**
 * The body of a request. What was not entered, or equals the default, is left out.
 * @param {FormField[]} fields
 * @param {Record<string, unknown>} values as entered: files as `{ dataUrl }`
 * @throws {FieldError}
 */
export function bodyOf(fields, values) {
  const body = {};
  for (const field of fields) {
    const value = valueOf(field, values[field.name]);
    if (value === undefined) {
      if (field.required) throw new FieldError(field.name, `${field.label} is missing.`);
    } else if (isFile(field) || JSON.stringify(value) !== JSON.stringify(field.fallback)) {
      body[field.name] = value;
    }
  }
  return body;
}

function valueOf(field, entered) {
  if (entered === undefined || entered === null || entered === "") return undefined;
  if (isFile(field)) return filesOf(field, entered);
  if (field.kind === "number" || field.kind === "range") return numberOf(field, entered);
  if (field.kind === "maybe") return entered === "yes" || entered === true;
  if (field.kind === "strings") return linesOf(field, entered);
  if (field.kind === "json") return jsonOf(field, entered);
  if (field.orJson && /^\s*[[{]/.test(entered)) return jsonOrText(entered);
  return entered;
}

/** Files have many megabytes, so they are not written out and compared at every keystroke. */
function isFile({ kind }) {
  return kind === "image" || kind === "audio";
}

function filesOf(field, entered) {
  const files = (Array.isArray(entered) ? entered : [entered]).map((file) => file.dataUrl);
  if (!files.length) return undefined;
  return field.several && files.length > 1 ? files : files[0];
}

function numberOf(field, entered) {
  const number = Number(entered);
  if (Number.isNaN(number)) throw new FieldError(field.name, `${field.label} must be a number.`);
  return number;
}

function linesOf(field, entered) {
  if (typeof entered !== "string") return entered;
  const lines = entered.split("\n").map((line) => line.trim()).filter(Boolean);
  if (!lines.length) return undefined;
  return field.single && lines.length === 1 ? lines[0] : lines;
}

function jsonOf(field, entered) {
  if (typeof entered !== "string") return entered;
  try {
    return JSON.parse(entered);
  } catch (error) {
    throw new FieldError(field.name, `${field.label} is not JSON: ${error.message}`);
  }
}

/** A list or an object, or a text that only begins like one. */
function jsonOrText(entered) {
  try {
    return JSON.parse(entered);
  } catch {
    return entered;
  }
}

/**
 * What a form shows for the values of a request, such as a task's example.
 * @param {FormField[]} fields
 * @param {Record<string, unknown>} body
 */
export function valuesOf(fields, body) {
  const values = {};
  for (const field of fields) {
    const value = body[field.name];
    if (value === undefined) continue;
    if (field.kind === "image" || field.kind === "audio") values[field.name] = [value].flat().map(asFile);
    else if (field.kind === "strings") values[field.name] = [value].flat().join("\n");
    else if (field.kind === "json" || (field.orJson && typeof value !== "string")) values[field.name] = JSON.stringify(value, null, 2);
    else if (field.kind === "maybe") values[field.name] = value ? "yes" : "no";
    else values[field.name] = value;
  }
  return values;
}

function asFile(text) {
  if (text.startsWith("data:")) return { dataUrl: text, name: "example" };
  const type = text.startsWith("UklGR") ? "audio/wav" : "image/png";
  return { dataUrl: `data:${type};base64,${text}`, name: "example" };
}
