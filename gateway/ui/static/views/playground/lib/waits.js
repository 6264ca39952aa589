/** What a request waits for, in the server's own words, from the status that the playground follows. */

import { status } from "../../../lib/live.js";
import { useStore } from "../../../lib/store.js";

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
  return useStore(status, (current) => current?.waits.find(({ request }) => request === requestId)?.message ?? null);
}

/** `loading llama` as `Loading llama …`. @param {string} message */
export function asSentence(message) {
  return `${message[0].toUpperCase()}${message.slice(1)} …`;
}
