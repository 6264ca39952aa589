/**
 * What the server does, live: its status and its events. The streams run while at least one component uses them, come
 * back by themselves, and begin again from the start when the server was restarted.
 */

import { noteReason } from "./event_text.js";
import { createStore } from "./store.js";
import { follow } from "./sse.js";
import { useEffect } from "./view.js";

/** Events that are kept; the oldest go first. */
export const MAX_EVENTS = 10_000;
const DRIFT = 10; // seconds by which the clocks of browser and server may move apart
const BATCH = 100; // milliseconds that events are collected before the page shows them

/** The status as `GET /v1/system/status` answers it, or null before the first answer. */
export const status = createStore(null);

/** Events, oldest first, each with a `key` that is unique in this tab. */
export const events = createStore([]);

/** Of each model, the last event that says why it came or went, by the model's id. */
export const reasons = createStore(new Map());

/**
 * `live`: the status is current; `lost`: it is that of the past, and `error` says why; `waiting`: there is none yet.
 * @type {import("./store.js").Store<{ state: "waiting" | "live" | "lost", error: Error | null }>}
 */
export const connection = createStore({ state: "waiting", error: null });

let statusUsers = 0;
let eventUsers = 0;
let stopStatus = () => {};
let stopEvents = () => {};
let pending = [];
let timer = 0;
let lastSeq = 0;
let lastKey = 0;
let startedAt = null; // when the manager started, by this browser's clock
let shown = new Set(); // events that a stream from the start repeats

/** Keep the status current while the component is shown. */
export function useStatus() {
  useEffect(() => {
    if (statusUsers++ === 0) startStatus();
    return () => {
      if (--statusUsers === 0) stopStatus();
    };
  }, []);
}

/** Keep the status and the events current while the component is shown. */
export function useLive() {
  useStatus();
  useEffect(() => {
    if (eventUsers++ === 0) startEvents();
    return () => {
      if (--eventUsers === 0) stopEvents();
    };
  }, []);
}

function startStatus() {
  connection.set({ state: "waiting", error: null });
  stopStatus = follow("v1/system/status", {
    resume: false,
    pauseHidden: true,
    errorsGoOn: true,
    onEvent: onStatus,
    onState: (state, error) => state === "lost" && lose(error),
  });
}

function startEvents() {
  stopEvents();
  lastSeq = 0;
  shown = new Set([...events.get(), ...pending].map(identityOf));
  stopEvents = follow("v1/system/events?since=0", { pauseHidden: true, onEvent: onManagerEvent });
}

function lose(error) {
  connection.set({ state: "lost", error });
}

function onStatus({ event, data }) {
  const document = JSON.parse(data);
  if (event === "error") {
    lose(new Error(document.error.message));
    return;
  }
  status.update((current) => (event === "status" ? document : merged(current, document)));
  connection.set({ state: "live", error: null });
  if (event === "status" && isAnotherManager(document) && eventUsers) startEvents(); // it counts from the start
}

/** Whether the manager was restarted since the last status, perhaps long ago, while this browser slept. */
function isAnotherManager({ seq, uptime }) {
  const before = startedAt;
  startedAt = Date.now() / 1000 - uptime;
  return seq < lastSeq || (before !== null && Math.abs(startedAt - before) > DRIFT);
}

function identityOf({ seq, time }) {
  return `${seq} ${time}`;
}

/**
 * The status with its changes put in.
 * @param {object} current
 * @param {object} changes
 */
export function merged(current, changes) {
  if (!changes.models) return { ...current, ...changes };
  const changed = new Map(changes.models.map((model) => [model.id, model]));
  return { ...current, ...changes, models: current.models.map((model) => changed.get(model.id) ?? model) };
}

function onManagerEvent({ data }) {
  const event = JSON.parse(data);
  if (event.seq <= lastSeq) return; // repeated after a reconnect
  lastSeq = event.seq;
  if (shown.has(identityOf(event))) return;
  pending.push({ ...event, key: ++lastKey });
  timer ||= setTimeout(flush, BATCH);
}

/** Show the collected events. */
function flush() {
  timer = 0;
  const list = [...events.get(), ...pending];
  const noted = new Map(reasons.get());
  for (const event of pending) noteReason(noted, event);
  pending = [];
  events.set(list.length > MAX_EVENTS ? list.slice(-MAX_EVENTS) : list);
  reasons.set(noted);
}
