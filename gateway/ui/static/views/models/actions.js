/** Downloads of models, and entries of the configuration: each a request of the public API. */

import { requestJson } from "../../lib/api.js";
import { attempt, toast } from "../../components/toasts.js";

/** Whether a download goes on. @param {{ state: string } | null | undefined} download */
export function isRunning(download) {
  return download?.state === "running";
}

/** Whether files of the model are in the hub's cache, where they can be removed. @param {object} model */
export function hasRemovableFiles({ live, entry, disk_bytes: size }) {
  return size > 0 && !/^([./~]|package:)/.test(live?.source ?? entry?.source ?? "");
}

/** Download a model's files. @param {{ id: string, hub?: string | null }} model */
export function pull(model) {
  return attempt(() => requestJson("api/models/download", { json: { model: model.configured ?? model.id } }));
}

/** End a download; complete files stay. @param {{ id: string }} download */
export function cancel(download) {
  return attempt(() => requestJson(`api/models/downloads/${encodeURIComponent(download.id)}`, { method: "DELETE" }));
}

/** Add a model of the catalogue to config.yaml. @param {{ id: string }} model */
export async function add(model) {
  const added = await attempt(() => requestJson("api/models", { json: { model: model.id } }));
  if (added) toast(`${added.id} is configured. It is downloaded with its first request, or when you pull it.`);
}

/**
 * Remove a model's files, its entry or both.
 * @param {{ id: string, configured: string | null }} model
 * @param {{ files: boolean, entry: boolean }} what
 */
export function remove(model, { files, entry }) {
  const query = new URLSearchParams({ files: String(files), entry: String(entry) });
  return requestJson(`api/models/${encodeURIComponent(model.configured ?? model.id)}?${query}`, { method: "DELETE" });
}
