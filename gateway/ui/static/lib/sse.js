/**
 * Server-sent events by fetch, which unlike EventSource can send a key and a body. A stream that ends or falls silent is
 * opened again: soon, then after longer and longer pauses, and at once when the browser is online or visible again.
 */

import { ApiError, request } from "./api.js";

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 8000;
const SILENCE = 40_000; // the server sends a comment every 15 s
const CHECK = 5000;

/** @typedef {{ event: string, data: string, id: string | null }} ServerEvent */

/**
 * The events of an answer, until it ends.
 * @param {Response} response
 * @param {() => void} [onBytes] called whenever bytes arrive, comments too
 * @returns {AsyncGenerator<ServerEvent>}
 */
export async function* eventsOf(response, onBytes = () => {}) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      onBytes();
      const text = rest + value;
      const half = text.endsWith("\r") ? "\r" : ""; // its \n may follow
      const blocks = text.slice(0, text.length - half.length).replace(/\r\n?/g, "\n").split("\n\n");
      rest = blocks.pop() + half;
      for (const block of blocks) {
        const event = parse(block);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** @param {string} block @returns {ServerEvent | null} null for comments */
function parse(block) {
  const event = { event: "message", data: "", id: null };
  const data = [];
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") data.push(value);
    else if (name === "event" || name === "id") event[name] = value;
  }
  event.data = data.join("\n");
  return data.length ? event : null;
}

/**
 * Follow a stream for as long as the page wants it. `onState` is called with "open" when it begins and "lost", with the
 * error, when it has ended. The stream continues after the last event's id, unless `resume` is false. With `pauseHidden`, it
 * is closed while the page is hidden: a browser has six connections to a server for all its tabs together. An event `error`
 * ends the stream, which is opened again, unless the stream goes on after it: then `errorsGoOn`, and `onEvent` gets it.
 * @param {string} path
 * @param {{ onEvent: (event: ServerEvent) => void, onState?: (state: "open" | "lost", error?: Error) => void,
 *   resume?: boolean, pauseHidden?: boolean, errorsGoOn?: boolean }} options
 * @returns {() => void} ends it
 */
export function follow(path, { onEvent, onState = () => {}, resume = true, pauseHidden = false, errorsGoOn = false }) {
  const stream = { stopped: false, pauseHidden, pause: FIRST_PAUSE, lastId: null, heard: 0, abort: null, wake: () => {} };
  const wake = () => {
    stream.pause = FIRST_PAUSE;
    stream.wake();
    if (stream.abort && Date.now() - stream.heard > SILENCE) stream.abort.abort();
  };
  const onVisible = () => {
    if (document.visibilityState === "visible") wake();
    else if (pauseHidden) stream.abort?.abort();
  };
  const onOffline = () => stream.abort?.abort();
  addEventListener("online", wake);
  addEventListener("offline", onOffline);
  addEventListener("pageshow", wake);
  document.addEventListener("visibilitychange", onVisible);
  const watch = setInterval(() => Date.now() - stream.heard > SILENCE && stream.abort?.abort(), CHECK);
  run(path, stream, { onEvent, onState, resume, errorsGoOn });
  return () => {
    stream.stopped = true;
    stream.abort?.abort();
    stream.wake();
    clearInterval(watch);
    removeEventListener("online", wake);
    removeEventListener("offline", onOffline);
    removeEventListener("pageshow", wake);
    document.removeEventListener("visibilitychange", onVisible);
  };
}

async function run(path, stream, options) {
  const { onState } = options;
  while (!stream.stopped) {
    if (stream.pauseHidden && document.visibilityState === "hidden") {
      await new Promise((resolve) => (stream.wake = resolve));
      continue;
    }
    const error = await once(path, stream, options);
    if (stream.stopped) return;
    if (stream.pauseHidden && document.visibilityState === "hidden") continue;
    onState("lost", error);
    if (error instanceof ApiError && [401, 403, 404].includes(error.status)) return; // again would end the same way
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, stream.pause * (0.75 + Math.random() / 2));
      stream.wake = () => (clearTimeout(timer), resolve());
    });
    stream.wake = () => {};
    stream.pause = Math.min(stream.pause * 2, LONGEST_PAUSE);
  }
}

/** One connection. Returns why it has ended. */
async function once(path, stream, { onEvent, onState, resume, errorsGoOn }) {
  stream.abort = new AbortController();
  stream.heard = Date.now();
  const headers = { accept: "text/event-stream" };
  if (resume && stream.lastId !== null) headers["last-event-id"] = stream.lastId;
  try {
    const response = await request(path, { headers, signal: stream.abort.signal });
    onState("open");
    for await (const event of eventsOf(response, () => (stream.heard = Date.now()))) {
      if (stream.stopped) break;
      stream.pause = FIRST_PAUSE;
      if (!errorsGoOn && isError(event)) return lost();
      if (event.id !== null) stream.lastId = event.id;
      onEvent(event);
    }
    return lost();
  } catch (error) {
    return error;
  } finally {
    stream.abort = null;
  }
}

/** Whether the server says that the stream cannot go on: by the event's name, or where a relayed stream broke off, by its data. */
function isError({ event, data }) {
  return event === "error" || /^\s*\{\s*"error"\s*:/.test(data);
}

function lost() {
  return new ApiError({ status: 0, code: "unreachable", message: "The connection to Enginehouse was lost." });
}
