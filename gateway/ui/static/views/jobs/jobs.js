/** The view Jobs: requests that run later, with their progress and results. */

import { html, useMemo, useState } from "../../lib/view.js";
import { requestJson } from "../../lib/api.js";
import { counted } from "../../lib/format.js";
import { usePolled } from "../../lib/polling.js";
import { linkTo, navigate } from "../../lib/router.js";
import { useWide } from "../../lib/width.js";
import { EmptyState } from "../../components/empty_state.js";
import { ErrorBox } from "../../components/error_box.js";
import { SelectField } from "../../components/fields.js";
import { WindowedList } from "../../components/windowed_list.js";
import { JobRow } from "./job_row.js";
import { NewJob } from "./new_job.js";
import { Result } from "./result.js";

const INTERVAL = 1500;
const LIMIT = 1000; // what a page of the API has at most
const FOLLOWED = 6; // running jobs whose steps are asked for
const ROW = { wide: 76, narrow: 128 };
const STATES = ["queued", "running", "completed", "failed", "cancelled", "expired"];

/** @param {{ route: import("../../lib/router.js").Route }} props */
export default function Jobs({ route }) {
  const state = route.query.status ?? "";
  const { value, error, refresh } = usePolled((signal) => jobs(state, signal), { interval: INTERVAL, inputs: [state] });
  const [submitted, setSubmitted] = useState(null); // `earlier`: the job to run again
  const list = useMemo(() => value ?? [], [value]);
  const height = useWide() ? ROW.wide : ROW.narrow;
  const openedId = route.path[0];
  return html`<header class="row spread">
      <h1>Jobs</h1>
      <div class="row">
        <span class="muted">${value && counted(list.length, "job")}</span>
        <${SelectField} label="Status" hideLabel value=${state} options=${[{ value: "", label: "All states" }, ...STATES]}
          onInput=${(status) => navigate(linkTo("jobs", [], { status }), { replace: true })} />
        <button class="button primary" onClick=${() => setSubmitted({ earlier: null })}>New job …</button>
      </div>
    </header>
    <${ErrorBox} error=${error} onRetry=${refresh} />
    ${list.length > 0 &&
    html`<${WindowedList} items=${list} rowHeight=${height} keyOf=${(job) => job.job_id} label="Jobs" className="card job-rows"
      height=${list.length * height}
      row=${(job) => html`<${JobRow} job=${job} onChange=${refresh} onAgain=${(earlier) => setSubmitted({ earlier })} />`} />`}
    ${value && !list.length &&
    html`<${EmptyState} title=${state ? `No ${state} jobs` : "No jobs"}>
      A job is a request that is stored now and runs when there is room. Submit one with “New job”, or with <code>POST /jobs/submit/chat</code>.
    </${EmptyState}>`}
    ${openedId && html`<${Result} key=${openedId} id=${openedId} onClose=${() => navigate(linkTo("jobs", [], route.query))} />`}
    ${submitted && html`<${NewJob} earlier=${submitted.earlier} onClose=${() => setSubmitted(null)} onChange=${refresh} />`}`;
}

/** The newest jobs; those that run have their progress. */
async function jobs(status, signal) {
  const query = new URLSearchParams({ limit: String(LIMIT), ...(status && { status }) });
  const { jobs: list } = await requestJson(`jobs?${query}`, { signal });
  const running = list.filter((job) => job.status === "running").slice(0, FOLLOWED);
  const details = await Promise.all(
    running.map((job) => requestJson(`jobs/${job.job_id}?result=false`, { signal }).catch(() => job)), // it may be gone
  );
  const byId = new Map(details.map((job) => [job.job_id, job]));
  return list.map((job) => byId.get(job.job_id) ?? job);
}
