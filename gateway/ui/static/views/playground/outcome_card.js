/** The outcome of a request to one model: its progress, its answer drawn and as JSON, its time, its error. */

import { html, useState } from "../../lib/view.js";
import { ErrorBox } from "../../components/error_box.js";
import { paneFor } from "./panes.js";
import { JsonPane } from "./panes/json.js";
import { Elapsed } from "./elapsed.js";
import { CopyButton } from "./request_code.js";
import { TimingBar } from "./timing_bar.js";
import { asSentence, useWait } from "./lib/waits.js";

/**
 * @param {{ task: any, run: import("./lib/use_run.js").Run, title: string | null, onStop: () => void }} props
 */
export function OutcomeCard({ task, run, title, onStop }) {
  const Pane = paneFor(task);
  const { outcome } = run;
  return html`<section class="card stack outcome" aria-label=${title ? `Answer of ${title}` : "Answer"} aria-busy=${run.state === "running"}>
    ${title && html`<h3>${title}</h3>`}
    ${run.state === "running" && html`<${Progress} run=${run} onStop=${onStop} />`}
    ${run.state === "stopped" && html`<p class="muted" role="status">Stopped.</p>`}
    ${run.state === "failed" && html`<${ErrorBox} error=${run.error} /><${ErrorDetails} error=${run.error} />`}
    ${run.partial.length > 0 && !outcome && html`<${Pane} task=${task} outcome=${{ events: run.partial, body: {} }} />`}
    ${outcome && html`<${Answer} key=${outcome} task=${task} outcome=${outcome} Pane=${Pane} />`}
  </section>`;
}

function Progress({ run, onStop }) {
  const { done, total, message } = run.progress ?? {};
  const wait = useWait(run.progress || run.partial.length ? null : run.requestId) ?? message;
  const text = wait ? asSentence(wait) : total ? `Step ${done} of ${total}` : "Working …";
  return html`<div class="row spread">
    <div class="grow stack tight" role="status">
      <span class="muted row">${text}<${Elapsed} /></span>
      <progress max=${total || undefined} value=${total ? done : undefined} aria-label="Progress"></progress>
    </div>
    <button type="button" class="button" onClick=${onStop}>Stop</button>
  </div>`;
}

function ErrorDetails({ error }) {
  if (!error?.body && !Object.keys(error?.details ?? {}).length) return null;
  return html`<details><summary>The whole answer</summary><${JsonPane} value=${error.body ?? error.details} /></details>`;
}

function Answer({ task, outcome, Pane }) {
  const [raw, setRaw] = useState(false);
  const value = outcome.value ?? outcome.events ?? null;
  const facts = [outcome.value?.model, outcome.job ? outcome.requestId : outcome.requestId && `request ${outcome.requestId}`].filter(Boolean).join(" · ");
  return html`
    ${(outcome.value?.warnings ?? []).map((text) => html`<p key=${text} class="warning">${text}</p>`)}
    ${raw && value !== null ? html`<${JsonPane} value=${value} />` : html`<${Pane} task=${task} outcome=${outcome} />`}
    <${TimingBar} timing=${outcome.timing} total=${outcome.total} first=${outcome.events ? outcome.first : null} />
    <footer class="row spread">
      <small class="muted mono wrap-anywhere">${facts}</small>
      ${value !== null &&
      html`<span class="row">
        <button type="button" class="button small" aria-pressed=${raw} onClick=${() => setRaw(!raw)}>JSON</button>
        <${CopyButton} text=${JSON.stringify(value, null, 2)} label="Copy JSON" />
      </span>`}
    </footer>`;
}
