/** Submits a job: a request for any task, as JSON. */

import { html, useEffect, useState } from "../../lib/view.js";
import { request, requestJson } from "../../lib/api.js";
import { Dialog } from "../../components/dialog.js";
import { ErrorBox } from "../../components/error_box.js";
import { SelectField, TextArea, TextField } from "../../components/fields.js";
import { toast } from "../../components/toasts.js";
import { remember } from "./sent_requests.js";


/** @param {{ draft: object, onClose: () => void, onChange: () => void }} props `draft`: what the fields say at first */
export function NewJob({ draft, onClose, onChange }) {
  const [tasks, setTasks] = useState([]);
  const [type, setType] = useState(draft.type ?? "");
  const [body, setBody] = useState(draft.body ?? (draft.model ? pretty({ model: draft.model }) : ""));
  const [priority, setPriority] = useState(draft.priority ?? 0);
  const [error, setError] = useState(null);
  useEffect(() => {
    requestJson("v1/tasks").then(({ data }) => setTasks(data), setError);
  }, []);
  const choose = (name) => {
    setType(name);
    if (!draft.body) setBody(pretty(tasks.find((task) => task.id === name)?.request.example ?? {}));
  };
  const submit = async (event) => {
    event.preventDefault();
    try {
      const job = await send(type, body, priority);
      remember(job.job_id, { type, body });
      toast(`Job ${job.job_id} is stored.`);
      onClose();
      onChange();
    } catch (failure) {
      setError(failure);
    }
  };
  const names = [...new Set([type, ...tasks.map((task) => task.id)])].filter(Boolean);
  return html`<${Dialog} title=${draft.isCopy ? "Run again" : "New job"} onClose=${onClose} wide>
    <form class="stack" onSubmit=${submit}>
      ${draft.isCopy && !draft.body && html`<p class="notice">The server does not keep what an ended job ran, and this tab did not send it. Fill in the request.</p>`}
      <${SelectField} label="Task" required value=${type} options=${[{ value: "", label: "Choose a task" }, ...names]} onInput=${choose} />
      <${TextArea} label="Request, as JSON" rows="12" required value=${body} onInput=${setBody} />
      <${TextField} label="Priority, higher ones first" type="number" value=${priority} onInput=${setPriority} />
      <${ErrorBox} error=${error} />
      <div class="row end">
        <button type="button" class="button" onClick=${onClose}>Cancel</button>
        <button class="button primary">Submit</button>
      </div>
    </form>
  </${Dialog}>`;
}

async function send(type, body, priority) {
  const headers = { "content-type": "application/json", "x-job-priority": String(priority || 0) };
  const response = await request(`jobs/submit/${type}`, { method: "POST", body, headers });
  return response.json();
}

function pretty(value) {
  return JSON.stringify(value, null, 2);
}
