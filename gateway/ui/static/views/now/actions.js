/** What an operator does with a model: load, evict, pin, keep for a while. Each is a request of the public API. */

import { requestJson } from "../../lib/api.js";
import { attempt, toast } from "../../components/toasts.js";
import { confirmThen } from "../../components/dialog.js";

/** @param {string} model @param {string | number} [keepAlive] such as `1h`; -1 for ever */
export function load(model, keepAlive) {
  const body = { model, wait: false, ...(keepAlive === undefined ? {} : { keep_alive: keepAlive }) };
  return attempt(() => requestJson("models/load", { json: body }));
}

/** Evict a model; asks first if it has requests, which end only with `force`. @param {string} model @param {number} atWork */
export function evict(model, atWork) {
  const send = (force) => requestJson(`v1/system/evict/${encodeURIComponent(model)}`, { json: { force } });
  if (!atWork) return attempt(() => send(false));
  const text = `${model} has ${atWork} requests at work. Its memory is freed at once, and they end with an error.`;
  return confirmThen({ title: `Evict ${model}`, text, verb: "Evict now", danger: true, action: () => send(true) });
}

/** @param {string} model @param {boolean} pinned */
export async function pin(model, pinned) {
  const path = pinned ? "models/pin" : "models/unpin";
  if (await attempt(() => requestJson(path, { json: { model } }))) {
    toast(pinned ? `${model} stays in memory until you unpin it.` : `${model} is no longer pinned.`);
  }
}
