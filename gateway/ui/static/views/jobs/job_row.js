/** One job in the list. */

import { html } from "../../lib/view.js";
import { requestJson } from "../../lib/api.js";
import { clock, counted, duration } from "../../lib/format.js";
import { linkTo } from "../../lib/router.js";
import { Badge } from "../../components/badge.js";
import { attempt } from "../../components/toasts.js";

/** @param {{ job: object, onChange: () => void, onAgain: (job: object) => void }} props */
export function JobRow({ job, onChange, onAgain }) {
  const ended = !["queued", "running"].includes(job.status);
  const remove = () => attempt(() => requestJson(`jobs/${job.job_id}`, { method: "DELETE" })).then(onChange);
  return html`<article class="job-row">
    <div class="job-name">
      <a class="cut" href=${linkTo("jobs", [job.job_id])}>${job.model_type}</a>
      <${Badge} state=${job.status} />
      <small class="muted cut">${[job.model, job.owner && `key ${job.owner}`, job.job_id].filter(Boolean).join(" · ")}</small>
    </div>
    <div class="job-progress"><${Progress} job=${job} /></div>
    <div class="row job-actions">
      ${job.request_url && ended && html`<button class="button small" onClick=${() => onAgain(job)} aria-label="Run ${job.job_id} again">Again</button>`}
      <button class="button small" onClick=${remove} aria-label="${ended ? "Remove" : "Cancel"} ${job.job_id}">${ended ? "Remove" : "Cancel"}</button>
    </div>
  </article>`;
}

function Progress({ job }) {
  const { progress } = job;
  if (job.status === "running" && progress?.total) {
    return html`<progress value=${progress.done} max=${progress.total} aria-label="Steps of ${job.job_id}"></progress>
      <small class="muted">${progress.done} of ${progress.total} steps</small>`;
  }
  return html`<span class=${job.error ? "bad cut" : "muted cut"} title=${job.error?.message ?? ""}>${textOf(job)}</span>`;
}

function textOf(job) {
  const created = Date.parse(job.created_at) / 1000;
  if (job.error) return job.error.message;
  if (job.status === "queued") return job.ahead ? `${counted(job.ahead, "job")} first` : `waiting since ${clock(created)}`;
  if (job.status === "running") return job.progress?.message ?? `running since ${clock(Date.parse(job.started_at) / 1000)}`;
  return job.processing_time === null ? clock(created) : `${clock(created)}, took ${duration(job.processing_time)}`;
}
