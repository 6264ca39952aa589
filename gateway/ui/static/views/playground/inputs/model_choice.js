/** Which model answers, and which second one answers the same request beside it. */

import { html } from "../../../lib/view.js";
import { SelectField } from "../../../components/fields.js";
import { status } from "../../../lib/live.js";
import { useStore } from "../../../lib/store.js";
import { catalogue, modelsFor } from "../lib/tasks.js";

/** @param {{ task: any, models: string[], onInput: (models: string[]) => void }} props */
export function ModelChoice({ task, models, onInput }) {
  const { models: all } = useStore(catalogue);
  const serving = modelsFor(task.id, all);
  const loaded = useStore(status, loadedIn)?.split("\n");
  const isLoaded = (model) => (loaded ? loaded.includes(model.preset_of ?? model.id) : model.state === "ready");
  const options = serving.map((model) => ({ value: model.id, label: isLoaded(model) ? `${model.id} · loaded` : model.id }));
  const [first, second] = models;
  const isChosen = task.default_model || serving.length < 2; // else the server asks which one
  const choices = [...(isChosen ? [{ value: "", label: task.default_model ? `Default (${task.default_model})` : "Default" }] : []), ...options];
  const other = serving.find((model) => model.id !== (first || task.default_model))?.id ?? "";
  return html`<div class="row model-choice">
    <div class="grow"><${SelectField} label="Model" value=${first} options=${choices} onInput=${(id) => onInput([id, ...models.slice(1)])} /></div>
    <button type="button" class="button" aria-pressed=${second !== undefined}
      onClick=${() => onInput(second === undefined ? [first, other] : [first])}>Compare</button>
    ${second !== undefined &&
    html`<div class="second-model"><${SelectField} label="Second model" value=${second} options=${choices} onInput=${(id) => onInput([first, id])} /></div>`}
  </div>`;
}

/** The models that are loaded now, one a line; undefined before that is known. */
function loadedIn(current) {
  return current?.models.filter(({ state }) => state === "ready").map(({ id }) => id).join("\n");
}
