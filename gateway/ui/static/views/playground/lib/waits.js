/** What a request waits for, in the server's own words, from the status that it streams. */

import { follow } from "../../../lib/sse.js";
import { createStore, useStore } from "../../../lib/store.js";
import { useEffect } from "../../../lib/view.js";

const PAUSE = 300; // milliseconds after which a request counts as one that may wait

/** The messages of waiting requests, by the requests' ids. */
const messages = createStore(new Map());

let watchers = 0;
let end = () => {};

/** An id for a request, by which the status names it. Unlike `crypto.randomUUID`, this works without HTTPS. */
export function newRequestId() {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Why the request waits, such as `loading llama, about 12 s left by its last 3 starts`.
 * @param {string | null} requestId null: no request
 * @returns {string | null} null if it does not wait, or it is not known yet
 */
export function useWait(requestId) {
  useEffect(() => {
    if (!requestId) return undefined;
    let watching = false;
    const timer = setTimeout(() => {
      watching = true;
      watch();
    }, PAUSE);
    return () => {
      clearTimeout(timer);
      if (watching) unwatch();
    };
  }, [requestId]);
  return useStore(messages, (all) => all.get(requestId) ?? null);
}

/** One stream of the status for all requests that are watched. */
function watch() {
  if (watchers++ === 0) end = follow("v1/system/status", { onEvent, resume: false, pauseHidden: true });
}

function unwatch() {
  if (--watchers > 0) return;
  end();
  messages.set(new Map());
}

function onEvent({ event, data }) {
  if (event === "error") return;
  const { waits } = JSON.parse(data);
  if (waits) messages.set(new Map(waits.map(({ request, message }) => [request, message])));
}

/** `loading llama` as `Loading llama …`. @param {string} message */
export function asSentence(message) {
  return `${message[0].toUpperCase()}${message.slice(1)} …`;
}
