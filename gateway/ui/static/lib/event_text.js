/** Events as sentences. */

import { bytes } from "./format.js";

/**
 * What happened, without the time: `chat#1 starting → ready (after 2.1 s)`.
 * @param {{ type: string, model?: string | null, worker?: string | null, from?: string | null, to?: string | null,
 *   reason?: string | null, bytes?: number | null, total?: number | null }} event
 */
export function eventText(event) {
  const subject = event.worker ?? event.model ?? "";
  const what = event.to ? `${event.from} → ${event.to}` : event.type;
  const amount = event.bytes && (event.total ? `${bytes(event.bytes)} of ${bytes(event.total)}` : bytes(event.bytes));
  return [subject, what, amount, event.reason && `(${event.reason})`].filter(Boolean).join(" ");
}

/**
 * Of each model, the last event that says why it came or went.
 * @param {object[]} events oldest first
 * @returns {Map<string, object>}
 */
export function lastReasons(events) {
  const reasons = new Map();
  for (const event of events) {
    const isEnd = event.to === "stopping" || event.to === "stopped" || event.to === "backoff";
    const explained = isEnd && reasons.get(event.model)?.type === "failure"; // the failure says more than its end
    if (event.model && !explained && (event.type === "state" || event.type === "failure")) reasons.set(event.model, event);
  }
  return reasons;
}
