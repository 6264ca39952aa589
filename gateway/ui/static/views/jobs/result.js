/** A job's fields and what its path answered: text, JSON, an image or a recording, and a way to save it. */

import { html, useEffect, useState } from "../../lib/view.js";
import { request, requestJson } from "../../lib/api.js";
import { bytes, clock, duration } from "../../lib/format.js";
import { usePolled } from "../../lib/polling.js";
import { Badge } from "../../components/badge.js";
import { Dialog } from "../../components/dialog.js";
import { ErrorBox } from "../../components/error_box.js";

const INTERVAL = 1000;
const LONGEST = 100_000; // characters that are shown

/** @param {{ id: string, onClose: () => void }} props */
export function Result({ id, onClose }) {
  const { value: job, error } = usePolled((signal) => requestJson(`jobs/${encodeURIComponent(id)}?result=false`, { signal }), { interval: INTERVAL });
  return html`<${Dialog} title="Job ${id}" onClose=${onClose} wide>
    <div class="stack">
      <${ErrorBox} error=${error} />
      ${job && html`<${Fields} job=${job} />`}
      ${job?.error && html`<${ErrorBox} error=${job.error} />`}
      ${job?.status === "completed" && html`<${Answer} job=${job} />`}
    </div>
  </${Dialog}>`;
}

function Fields({ job }) {
  const rows = {
    Status: html`<${Badge} state=${job.status} />`,
    Task: job.model_type,
    Model: job.model,
    Priority: job.priority || null,
    Key: job.owner,
    Attempts: job.attempts || null,
    Created: timeOf(job.created_at),
    Began: job.started_at && timeOf(job.started_at),
    Took: job.processing_time !== null && duration(job.processing_time),
    Result: job.result_bytes !== null && `${bytes(job.result_bytes)} of ${job.result_type}`,
    Webhook: job.webhook && `${job.webhook.url}${job.webhook.error ? `: ${job.webhook.error}` : ""}`,
  };
  return html`<dl class="facts">
    ${Object.entries(rows).map(([name, value]) => value && html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
  </dl>`;
}

/** A time of the API as the list of jobs shows it: in the reader's time zone. */
function timeOf(text) {
  return clock(Date.parse(text) / 1000);
}

function Answer({ job }) {
  const [answer, setAnswer] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    let url = null;
    read(job).then((loaded) => {
      url = loaded.url;
      setAnswer(loaded);
    }, setError);
    return () => url && URL.revokeObjectURL(url);
  }, [job.job_id]);
  if (error) return html`<${ErrorBox} error=${error} />`;
  if (!answer) return html`<p class="muted" role="status">Reading the result …</p>`;
  return html`<${Shown} ...${answer} />
    <p><a class="button" href=${answer.url} download="${job.job_id}.${answer.ending}">Save the result</a></p>`;
}

function Shown({ type, url, text }) {
  if (type.startsWith("image/")) return html`<img class="result-image" src=${url} alt="The result" />`;
  if (type.startsWith("audio/")) return html`<audio controls src=${url}></audio>`;
  return text === null ? null : html`<pre class="result-text pre-wrap" tabindex="0">${text}</pre>`;
}

const ENDINGS = { "application/json": "json", "image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "text/plain": "txt", "application/x-npz": "npz", "audio/wav": "wav" };

/** The result as a blob; and as text, if it is that, shortened. */
async function read(job) {
  const response = await request(`jobs/${job.job_id}/result`);
  const type = (job.result_type ?? "").split(";")[0];
  const blob = await response.blob();
  const isText = type.startsWith("text/") || type.includes("json");
  const text = isText ? shownText(await blob.text(), type) : null;
  return { type, text, url: URL.createObjectURL(blob), ending: ENDINGS[type] ?? "bin" };
}

function shownText(text, type) {
  const whole = text.length <= LONGEST && type.includes("json") ? JSON.stringify(JSON.parse(text), null, 2) : text;
  return whole.length > LONGEST ? `${whole.slice(0, LONGEST)}\n… save the result to see the rest` : whole;
}
