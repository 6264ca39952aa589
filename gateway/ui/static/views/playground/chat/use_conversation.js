/** A conversation with one model: sends, streams, stops, edits and repeats. It continues while another tab is shown. */

import { ApiError, request } from "../../../lib/api.js";
import { eventsOf } from "../../../lib/sse.js";
import { createStore, useStore } from "../../../lib/store.js";
import { brokenOff, failure } from "../lib/send.js";
import { newRequestId } from "../lib/waits.js";
import { newAnswer, requestOf, withChunk } from "./conversation.js";

/** The conversations with the first and the second model, as long as the page is open. */
const kept = [0, 1].map(() => ({ turns: createStore([]), control: null }));

/** @param {number} index 0 or 1 */
export function useConversation(index) {
  const own = kept[index];
  const turns = useStore(own.turns);
  const clear = () => {
    own.control?.abort();
    own.control = null;
    own.turns.set([]);
  };
  const busy = turns.at(-1)?.state === "running";
  return { turns, busy, answer: (before, settings) => answer(own, before, settings), clear, stop: () => own.control?.abort() };
}

/** Continue after these turns with the model's answer. */
async function answer(own, before, settings) {
  own.control?.abort();
  const control = (own.control = new AbortController());
  let current = newAnswer(performance.now(), newRequestId());
  const show = (next) => {
    current = next;
    if (own.control === control) own.turns.set([...before, current]);
  };
  show(current);
  try {
    await stream(requestOf(settings, before), control.signal, () => current, show);
    show({ ...current, state: "done", stats: { ...current.stats, end: performance.now() } });
  } catch (error) {
    const stopped = error.name === "AbortError";
    show({ ...current, state: stopped ? "stopped" : "failed", error: stopped ? null : brokenOff(error) });
  }
}

/** Read the answer; what arrives within a frame of the screen is shown together. */
async function stream(body, signal, current, show) {
  const headers = { "x-request-id": current().stats.requestId };
  const response = await request("v1/chat/completions", { json: body, headers, signal });
  const facts = { timing: response.headers.get("server-timing"), requestId: response.headers.get("x-request-id") };
  let answer = { ...current(), stats: { ...current().stats, ...facts } };
  let frame = 0;
  const flush = () => {
    frame = 0;
    show(answer);
  };
  try {
    for await (const { data } of eventsOf(response)) {
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw failure(chunk.error, 200, facts.requestId);
      answer = withChunk(answer, chunk, performance.now());
      frame ||= requestAnimationFrame(flush);
    }
    throw new ApiError({ status: 0, code: "unreachable", message: "The answer ended early. Send the message again." });
  } finally {
    cancelAnimationFrame(frame);
    show(answer);
  }
}
