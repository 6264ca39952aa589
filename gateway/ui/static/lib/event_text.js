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
 * Note an event as the reason of its model's present state, if it is one.
 * @param {Map<string, object>} reasons of each model, the last event that says why it came or went
 * @param {object} event
 */
export function noteReason(reasons, event) {
  if (!event.model || (event.type !== "state" && event.type !== "failure")) return;
  const isEnd = event.to === "stopping" || event.to === "stopped" || event.to === "backoff";
  const explained = isEnd && reasons.get(event.model)?.type === "failure"; // the failure says more than its end
  if (!explained) reasons.set(event.model, event);
}
