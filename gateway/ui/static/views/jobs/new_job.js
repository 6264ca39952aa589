/** Submits a job: a request for any task as JSON, or that of an earlier job, as it was or changed. */

import { html, useEffect, useState } from "../../lib/view.js";
import { requestJson } from "../../lib/api.js";
import { bytes } from "../../lib/format.js";
import { Dialog } from "../../components/dialog.js";
import { ErrorBox } from "../../components/error_box.js";
import { SelectField, TextArea, TextField } from "../../components/fields.js";
import { toast } from "../../components/toasts.js";
import { requestOf } from "./job_request.js";

/**
 * @param {{ earlier: object | null, onClose: () => void, onChange: () => void }} props `earlier`: the job to run again
 */
export function NewJob({ earlier, onClose, onChange }) {
  const [loaded, setLoaded] = useState(null);
  const [error, setError] = useState(null);
  const load = () => {
    setError(null);
    (earlier ? requestOf(earlier) : empty()).then(setLoaded, setError);
  };
  useEffect(load, []);
  const onSubmitted = (job) => {
    toast(`Job ${job.job_id} is stored.`);
    onClose();
    onChange();
  };
  return html`<${Dialog} title=${earlier ? "Run again" : "New job"} onClose=${onClose} wide>
    <${ErrorBox} error=${error} onRetry=${load} />
    ${loaded && html`<${JobForm} loaded=${loaded} priority=${earlier?.priority ?? 0} onSubmitted=${onSubmitted} onClose=${onClose} />`}
  </${Dialog}>`;
}

async function empty() {
  const { data: tasks } = await requestJson("v1/tasks");
  return { tasks, path: "", text: "" };
}

function JobForm({ loaded, priority: first, onSubmitted, onClose }) {
  const [path, setPath] = useState(loaded.path);
  const [text, setText] = useState(loaded.text);
  const [priority, setPriority] = useState(first);
  const [error, setError] = useState(null);
  const [running, setRunning] = useState(false);
  const choose = (name) => {
    setPath(name);
    setText(JSON.stringify(loaded.tasks.find((task) => task.id === name)?.request.example ?? {}, null, 2));
  };
  const submit = async (event) => {
    event.preventDefault();
    setRunning(true); // a second click submits no second job
    try {
      const body = text ?? loaded.body;
      const headers = { "content-type": loaded.contentType ?? "application/json", "x-job-priority": String(priority || 0) };
      onSubmitted(await requestJson(`jobs/submit/${path.replace(/^\//, "")}`, { method: "POST", body, headers }));
    } catch (failure) {
      setError(failure);
      setRunning(false);
    }
  };
  return html`<form class="stack" onSubmit=${submit}>
    ${loaded.tasks
      ? html`<${SelectField} label="Task" required value=${path} options=${[{ value: "", label: "Choose a task" }, ...loaded.tasks.map((task) => task.id)]}
          onInput=${choose} />`
      : html`<p class="muted">POST <code class="wrap-anywhere">${path}</code></p>`}
    ${text === null
      ? html`<p>The request is sent as it was: ${bytes(loaded.body.size)} of ${loaded.contentType.split(";")[0]}.</p>`
      : html`<${TextArea} label="Request, as JSON" rows="12" required value=${text} onInput=${setText} />`}
    <${TextField} label="Priority, higher ones first" type="number" value=${priority} onInput=${setPriority} />
    <${ErrorBox} error=${error} />
    <div class="row end">
      <button type="button" class="button" onClick=${onClose}>Cancel</button>
      <button class="button primary" disabled=${running}>Submit</button>
    </div>
  </form>`;
}
