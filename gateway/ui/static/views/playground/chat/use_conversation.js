/** A conversation with one model: sends, streams, stops, edits and repeats. */

import { useEffect, useRef, useState } from "../../../lib/view.js";
import { request } from "../../../lib/api.js";
import { eventsOf } from "../../../lib/sse.js";
import { failure } from "../lib/send.js";
import { newAnswer, requestOf, withChunk } from "./conversation.js";

/**
 * @param {import("./conversation.js").Turn[]} kept the turns to begin with
 * @param {(turns: import("./conversation.js").Turn[]) => void} keep
 */
export function useConversation(kept, keep) {
  const [turns, setTurns] = useState(kept);
  const control = useRef(null);
  useEffect(() => () => control.current?.abort(), []);
  useEffect(() => keep(turns), [turns]);
  const busy = turns.at(-1)?.state === "running";

  /** Continue after these turns with the model's answer. */
  const answer = async (before, settings) => {
    control.current?.abort();
    const own = (control.current = new AbortController());
    const body = requestOf(settings, before);
    let current = newAnswer(performance.now());
    const show = (next) => {
      current = next;
      if (control.current === own) setTurns([...before, current]);
    };
    show(current);
    try {
      await stream(body, own.signal, () => current, show);
      show({ ...current, state: "done", stats: { ...current.stats, end: performance.now() } });
    } catch (error) {
      const stopped = error.name === "AbortError";
      show({ ...current, state: stopped ? "stopped" : "failed", error: stopped ? null : error });
    }
  };

  return { turns, busy, answer, clear: () => setTurns([]), stop: () => control.current?.abort() };
}

/** Read the answer; what arrives within a frame of the screen is shown together. */
async function stream(body, signal, current, show) {
  const response = await request("v1/chat/completions", { json: body, signal });
  const facts = { timing: response.headers.get("server-timing"), requestId: response.headers.get("x-request-id") };
  let answer = { ...current(), stats: { ...current().stats, ...facts } };
  let frame = 0;
  const flush = () => {
    frame = 0;
    show(answer);
  };
  try {
    for await (const { data } of eventsOf(response)) {
      if (data === "[DONE]") break;
      const chunk = JSON.parse(data);
      if (chunk.error) throw failure(chunk.error, 200, facts.requestId);
      answer = withChunk(answer, chunk, performance.now());
      frame ||= requestAnimationFrame(flush);
    }
  } finally {
    cancelAnimationFrame(frame);
    show(answer);
  }
}
