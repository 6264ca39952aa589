/** The command line and the Python code that send the same request as the page. Files in it become files on the disk. */

const DATA_URL = /^data:(image|audio|video)\/([\w.+-]+)(?:;[^,]*)?,/;
const EXTENSIONS = { jpeg: "jpg", "svg+xml": "svg", "x-wav": "wav", mpeg: "mp3", wave: "wav" };

/**
 * @typedef {{ origin: string, path: string, body: Record<string, unknown>, form?: boolean, hasKey?: boolean,
 *   savedAs?: string | null }} Sent
 * `form`: the path reads a multipart form. `savedAs`: the file for an answer that is no text.
 */

/**
 * A `curl` command for bash and zsh.
 * @param {Sent} sent
 */
export function curlOf(sent) {
  const files = filesIn(sent.body);
  const head = [`curl ${quoted(sent.origin + sent.path)}`];
  if (sent.hasKey) head.push(`  -H "Authorization: Bearer $ENGINEHOUSE_KEY"`);
  if (sent.savedAs) head.push(`  -o ${sent.savedAs}`);
  if (sent.body.stream) head[0] = head[0].replace("curl ", "curl -N ");
  if (sent.form && files.length && files.every((file) => !file.nested)) return [...head, ...formOf(sent.body)].join(" \\\n");
  head.push(`  -H "Content-Type: application/json"`);
  if (!files.length) return [...head, `  -d ${quoted(JSON.stringify(sent.body, null, 2))}`].join(" \\\n");
  return [...head, "  -d @- <<END"].join(" \\\n") + `\n${expanded(sent.body)}\nEND`;
}

function formOf(body) {
  const names = namer();
  return Object.entries(body).flatMap(([name, value]) => {
    const values = Array.isArray(value) && value.every((part) => isFile(part)) ? value : [value];
    return values.map((part) =>
      isFile(part) ? `  -F ${name}=@${names(part)}` : `  --form-string ${quoted(`${name}=${asText(part)}`)}`,
    );
  });
}

function asText(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** The body as a here-document, in which the shell puts the base64 of each file. */
function expanded(body) {
  const marks = [];
  const names = namer();
  const marked = replaced(body, (text) => {
    marks.push(`${DATA_URL.exec(text)[0]}$(base64 < ${names(text)} | tr -d '\\n')`);
    return `\u0000${marks.length - 1}\u0000`;
  });
  const text = JSON.stringify(marked, null, 2).replace(/[\\$`]/g, "\\$&");
  return text.replace(/\\\\u0000(\d+)\\\\u0000/g, (_, index) => marks[index]);
}

/**
 * A Python program that uses Enginehouse's client.
 * @param {Sent} sent
 */
export function pythonOf(sent) {
  const names = namer();
  const files = filesIn(sent.body);
  const { stream, ...body } = sent.body; // the whole answer is simpler to print
  const literal = python(replaced(body, (text) => new Name(`file(${JSON.stringify(names(text))})`)), 0);
  const lines = ["from client import Client", ""];
  if (files.length) lines.unshift("import base64", "from pathlib import Path", "");
  else if (sent.savedAs) lines.unshift("from pathlib import Path", "");
  if (files.length) lines.push("", "def file(name):", "    return base64.b64encode(Path(name).read_bytes()).decode()", "", "");
  lines.push(`house = Client(${JSON.stringify(sent.origin)})${sent.hasKey ? "  # with the key in ENGINEHOUSE_KEY" : ""}`);
  lines.push(`answer = house.request("POST", ${JSON.stringify(sent.path)}, ${literal})`);
  lines.push(sent.savedAs ? `Path(${JSON.stringify(sent.savedAs)}).write_bytes(answer)` : "print(answer)");
  return lines.join("\n");
}

class Name {
  constructor(text) {
    this.text = text;
  }
}

function python(value, depth) {
  if (value instanceof Name) return value.text;
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const pad = "    ".repeat(depth + 1);
  const close = "    ".repeat(depth);
  const parts = Array.isArray(value)
    ? value.map((part) => python(part, depth + 1))
    : Object.entries(value).map(([name, part]) => `${JSON.stringify(name)}: ${python(part, depth + 1)}`);
  const [left, right] = Array.isArray(value) ? "[]" : "{}";
  const flat = left + parts.join(", ") + right;
  if (flat.length < 60 && !flat.includes("\n")) return flat;
  return `${left}\n${parts.map((part) => `${pad}${part},`).join("\n")}\n${close}${right}`;
}

function isFile(value) {
  return typeof value === "string" && DATA_URL.test(value);
}

function filesIn(body, nested = false) {
  return Object.values(body).flatMap((value) => {
    if (isFile(value)) return [{ value, nested }];
    if (Array.isArray(value) && value.every(isFile)) return value.map((part) => ({ value: part, nested }));
    return value && typeof value === "object" ? filesIn(value, true) : [];
  });
}

function replaced(value, change) {
  if (isFile(value)) return change(value);
  if (Array.isArray(value)) return value.map((part) => replaced(part, change));
  if (!value || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, replaced(part, change)]));
}

/** Names files by their kind: image.png, image-2.jpg, recording.wav. */
function namer() {
  const seen = new Map();
  return (text) => {
    if (seen.has(text)) return seen.get(text);
    const [, kind, subtype] = DATA_URL.exec(text);
    const stem = kind === "image" ? "image" : "recording";
    const count = [...seen.values()].filter((name) => name.startsWith(stem)).length;
    const name = `${stem}${count ? `-${count + 1}` : ""}.${EXTENSIONS[subtype] ?? subtype.replace(/\W.*/, "")}`;
    seen.set(text, name);
    return name;
  };
}

function quoted(text) {
  return /^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
