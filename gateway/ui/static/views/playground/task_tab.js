/** The tab of a task: a form made from the schema of its requests, and the answers of one model or of two. */

import { html, useLayoutEffect, useMemo, useRef, useState } from "../../lib/view.js";
import { ErrorBox } from "../../components/error_box.js";
import { EmptyState } from "../../components/empty_state.js";
import { useStore } from "../../lib/store.js";
import { linkTo } from "../../lib/router.js";
import { SchemaField } from "./inputs/schema_field.js";
import { ModelChoice } from "./inputs/model_choice.js";
import { OutcomeCard } from "./outcome_card.js";
import { RequestCode } from "./request_code.js";
import { adapterFor } from "./adapters.js";
import { reading } from "./lib/files.js";
import { bodyOf, fieldsNotTaken, fieldsOf, valuesOf } from "./lib/schema.js";
import { send, sendAsJob } from "./lib/send.js";
import { catalogue, chosenImages, draftOf, keepDraft, modelsFor, usualModel } from "./lib/tasks.js";
import { useRun } from "./lib/use_run.js";

/** @param {{ task: any }} props */
export default function TaskTab({ task }) {
  const adapter = adapterFor(task);
  const fields = useMemo(() => fieldsOf(task), [task.id]);
  const example = useMemo(() => valuesOf(fields, task.request.example), [task.id]);
  const { draft, change } = useDraft(task, fields, example, adapter);
  const runs = [useRun(`${task.id} 0`), useRun(`${task.id} 1`)];
  const [invalid, setInvalid] = useState(null);
  const output = useRef(null);
  const lacking = useLacking(task, draft.models, adapter);
  const bodies = bodiesOf(fields, draft, adapter, lacking);
  const start = (event) => {
    event?.preventDefault();
    setInvalid(bodies.error);
    if (bodies.error) return;
    showBelow(output.current);
    bodies.list.forEach((body, index) => runs[index].start(workOf(task, body, draft)));
    if (bodies.list.length === 1) runs[1].clear();
  };
  const compared = draft.models.length > 1;
  const shown = runs.slice(0, draft.models.length).filter(({ run }) => run.state !== "idle");
  return html`<div class="task-tab">
    <form class="card stack task-form" novalidate onSubmit=${start}>
      <${TaskHead} task=${task} />
      <${ModelChoice} task=${task} models=${draft.models} onInput=${(models) => change({ models })} />
      <${TaskFields} task=${task} fields=${fields} lacking=${lacking} draft=${draft} change=${change} example=${example} adapter=${adapter} />
      <${ErrorBox} error=${invalid} />
      <${RunRow} draft=${draft} change=${change} example=${{ ...example, ...adapter.preset }} />
    </form>
    <div ref=${output} class="stack task-output" data-columns=${compared && shown.length > 1 ? 2 : 1}>
      ${shown.map(
        ({ run, stop }, index) => html`<${OutcomeCard} key=${index} task=${task} run=${run} onStop=${stop}
          title=${compared ? draft.models[index] || "Default model" : null} />`,
      )}
      ${!shown.length && html`<${Waiting} task=${task} />`}
      <${RequestCode} task=${task} bodies=${bodies.list} />
    </div>
  </div>`;
}

/** @param {{ task: any }} props */
export function TaskHead({ task }) {
  return html`<header><h2>${task.title}</h2><p class="muted">${task.description}</p></header>`;
}

/** Where answers are below the form, as on a phone, bring them into sight. */
function showBelow(output) {
  if (output.getBoundingClientRect().top > innerHeight * 0.7) output.scrollIntoView({ block: "start" });
}

/** What is entered: kept for the tab, and begun with the task's example and the image that was chosen last. */
function useDraft(task, fields, example, adapter) {
  const [draft, setDraft] = useState(() => draftOf(task.id) ?? begin(task, fields, example, adapter));
  useLayoutEffect(() => keepDraft(task.id, draft), [draft]); // at once: the next tab may be opened at once
  const change = (made) => setDraft((current) => ({ ...current, ...(typeof made === "function" ? made(current) : made) }));
  return { draft, change };
}

function begin(task, fields, example, adapter) {
  const chosen = chosenImages.get();
  const image = fields.find((field) => field.kind === "image" && field.name === "image");
  const values = { ...example, ...adapter.preset };
  if (image && chosen.length) values.image = image.several ? chosen : chosen.slice(0, 1);
  return { models: [usualModel(task)], values, asJob: Boolean(adapter.asJob) };
}

/** The fields that each of the chosen models does not take. */
function useLacking(task, ids, adapter) {
  const { models } = useStore(catalogue);
  const only = task.models.length === 1 ? task.models[0] : null;
  const names = Object.keys(adapter.featured);
  return ids.map((id) => fieldsNotTaken(names, models.find((model) => model.id === (id || task.default_model || only))));
}

function bodiesOf(fields, draft, adapter, lacking) {
  try {
    const plain = adapter.prepare(bodyOf(fields, draft.values), draft.values);
    const taken = (index) => Object.fromEntries(Object.entries(plain).filter(([name]) => !lacking[index].includes(name)));
    return { list: draft.models.map((model, index) => ({ ...(model && { model }), ...taken(index) })), error: null };
  } catch (error) {
    return { list: [], error };
  }
}

function workOf(task, body, draft) {
  if (draft.asJob && !body.stream) {
    return ({ signal, report }) => sendAsJob(task.job_path, body, { signal, onProgress: (progress) => report({ progress }) });
  }
  const onEvent = (report) => (_, events) => report({ partial: [...events] });
  return ({ signal, requestId, report }) => send(task.path, body, { signal, requestId, onEvent: onEvent(report) });
}

function TaskFields({ task, fields, lacking, draft, change, example, adapter }) {
  const set = (name, value) => {
    change(({ values }) => ({ values: { ...values, [name]: value } }));
    if (name === "image" && value?.length) chosenImages.set(value);
  };
  const withoutEffect = (name) => lacking.every((names) => names.includes(name));
  const show = (field) =>
    withoutEffect(field.name)
      ? html`<${NotTaken} key=${field.name} field=${field} text=${adapter.featured[field.name]} />`
      : html`<${SchemaField} key=${field.name} field=${field} value=${draft.values[field.name]}
          example=${example[field.name]?.[0]} onInput=${(value) => set(field.name, value)} />`;
  const own = new Set(adapter.fields ?? []);
  const group = (name) => fields.filter((field) => field.group === name && !own.has(field.name));
  return html`
    ${group("main").filter((field) => field.kind === "image" || field.kind === "audio").map(show)}
    ${adapter.Input && html`<${adapter.Input} fields=${fields} values=${draft.values} set=${set} model=${draft.models[0] || task.default_model} />`}
    ${group("main").filter((field) => field.kind !== "image" && field.kind !== "audio").map(show)}
    <${MoreFields} title="More options" fields=${group("more")} show=${show} values=${draft.values} />
    <${MoreFields} title="Fields from other APIs, with no effect here" fields=${group("inert")} show=${show} values=${draft.values} />`;
}

/** What is said in the place of a field that the chosen model does not take. */
function NotTaken({ field, text }) {
  return text ? html`<p class="field"><span>${field.label}</span><small class="muted">${text}</small></p>` : null;
}

function MoreFields({ title, fields, show, values }) {
  if (!fields.length) return null;
  const used = fields.filter((field) => values[field.name] !== undefined && values[field.name] !== "").length;
  return html`<details class="more-fields">
    <summary>${title} <span class="muted">${used ? `${used} of ${fields.length} set` : fields.length}</span></summary>
    <div class="stack">${fields.map(show)}</div>
  </details>`;
}

function RunRow({ draft, change, example }) {
  const isReading = useStore(reading, (count) => count > 0);
  return html`<div class="row run-row">
    <button type="submit" class="button primary" disabled=${isReading}>Run</button>
    <button type="button" class="button quiet" onClick=${() => change({ values: example })}>Fill in the example</button>
    <label class="check-field" title="A job is stored and reports its steps. Other requests go first.">
      <input type="checkbox" checked=${draft.asJob} onChange=${(event) => change({ asJob: event.currentTarget.checked })} />
      <span>Run as a job, with progress</span>
    </label>
  </div>`;
}

function Waiting({ task }) {
  const { models } = useStore(catalogue);
  if (modelsFor(task.id, models).length) {
    return html`<${EmptyState} title="The answer appears here">The form starts with an example that works.</${EmptyState}>`;
  }
  return html`<${EmptyState} title="No configured model can do this">
    <a href=${linkTo("models", [], { task: task.id })}>Look in the catalogue</a>, or add one to config.yaml.
  </${EmptyState}>`;
}
