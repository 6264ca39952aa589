/** What models can be asked to do, and which models there are: from the API, and kept for the tab. */

import { requestJson } from "../../../lib/api.js";
import { createStore } from "../../../lib/store.js";

/** @type {import("../../../lib/store.js").Store<{ tasks: any[] | null, models: any[], error: Error | null }>} */
export const catalogue = createStore({ tasks: null, models: [], error: null });

/** Ask the server. Called again when the playground opens, because models come and go. */
export async function loadTasks() {
  try {
    const [tasks, models] = await Promise.all([requestJson("v1/tasks"), requestJson("v1/models")]);
    catalogue.set({ tasks: tasks.data, models: models.data, error: null });
  } catch (error) {
    catalogue.update((current) => ({ ...current, error }));
  }
}

/**
 * The models for a task, presets too.
 * @param {string} task
 * @param {any[]} models
 */
export function modelsFor(task, models) {
  return models.filter((model) => model.tasks.includes(task));
}

/** The model that a tab begins with: "" where the server chooses one. @param {any} task */
export function usualModel(task) {
  return task.default_model || task.models.length < 2 ? "" : task.models[0];
}

/** What was entered in each tab, as long as the page is open. */
const entered = new Map();

/** @param {string} task */
export function draftOf(task) {
  return entered.get(task);
}

/** @param {string} task @param {object} draft */
export function keepDraft(task, draft) {
  entered.set(task, draft);
}

/** Counts the drafts that an answer's buttons have made: the tab starts again with it, even if it is the one that is shown. */
export const continued = createStore(0);

/** The images that were chosen last: the next tab begins with them. */
export const chosenImages = createStore([]);
