/** One turn of a conversation: Markdown, images, folded reasoning, calls of tools, and how fast it was. */

import { html, useMemo, useState } from "../../../lib/view.js";
import { ErrorBox } from "../../../components/error_box.js";
import { duration, number } from "../../../lib/format.js";
import { CopyButton } from "../request_code.js";
import { asSentence, useWait } from "../lib/waits.js";
import { Thumbnails } from "../inputs/thumbnails.js";
import { Elapsed } from "../elapsed.js";
import { TimingBar } from "../timing_bar.js";
import { speedOf } from "./conversation.js";
import { safeHtml } from "./markdown.js";

const NAMES = { user: "You", assistant: "Model", tool: "Tool" };

/**
 * @param {{ turn: import("./conversation.js").Turn, open: { id: string }[], busy: boolean, onEdit: (text: string) => void,
 *   onAgain: () => void, onResult: (id: string, text: string) => void }} props
 */
export function Message({ turn, open, busy, onEdit, onAgain, onResult }) {
  const [editing, setEditing] = useState(false);
  const save = (text) => (setEditing(false), onEdit(text));
  return html`<li class="message" data-role=${turn.role} aria-busy=${turn.state === "running"}>
    <span class="message-name">${turn.model || NAMES[turn.role]}</span>
    ${turn.images && html`<${Thumbnails} files=${turn.images} />`}
    ${turn.reasoning && html`<${Reasoning} turn=${turn} />`}
    ${editing
      ? html`<${Editor} text=${turn.text} onSave=${save} onCancel=${() => setEditing(false)} />`
      : html`<${Content} turn=${turn} />`}
    ${turn.calls?.map((call) => html`<${Call} key=${call.id} call=${call} open=${!busy && open.some(({ id }) => id === call.id)} onResult=${onResult} />`)}
    ${turn.error && html`<${ErrorBox} error=${turn.error} />`}
    ${turn.state === "stopped" && html`<p class="muted">Stopped.</p>`}
    ${!editing && html`<${Actions} turn=${turn} busy=${busy} onEdit=${() => setEditing(true)} onAgain=${onAgain} />`}
    ${turn.stats?.end !== undefined && html`<${Speed} stats=${turn.stats} />`}
  </li>`;
}

function Content({ turn }) {
  const markup = useMemo(() => (turn.role === "assistant" && turn.text ? safeHtml(turn.text) : ""), [turn.text, turn.role]);
  if (markup) return html`<div class="markdown" dangerouslySetInnerHTML=${{ __html: markup }}></div>`;
  if (turn.state === "running" && !turn.reasoning && !turn.calls.length) return html`<${FirstWord} requestId=${turn.stats.requestId} />`;
  return turn.text ? html`<p class="pre-wrap">${turn.text}</p>` : null;
}

/** Why there is no word yet, if the server knows a reason. */
function FirstWord({ requestId }) {
  const wait = useWait(requestId);
  return html`<p class="muted row typing"><span role="status">${wait ? asSentence(wait) : "Waiting for the first word …"}</span><${Elapsed} /></p>`;
}

function Reasoning({ turn }) {
  const thinking = turn.state === "running" && !turn.text;
  return html`<details class="reasoning"><summary>${thinking ? "Thinking …" : "Reasoning"}</summary>
    <p class="pre-wrap">${turn.reasoning}</p>
  </details>`;
}

function Call({ call, open, onResult }) {
  const [text, setText] = useState("");
  return html`<div class="tool-call">
    <p><strong class="mono">${call.name}</strong> is called with</p>
    <pre class="code">${prettyJson(call.arguments)}</pre>
    ${open &&
    html`<form class="row" onSubmit=${(event) => (event.preventDefault(), onResult(call.id, text))}>
      <input class="grow" aria-label="Result of ${call.name}" placeholder="What the tool answers" value=${text} onInput=${(event) => setText(event.currentTarget.value)} />
      <button type="submit" class="button small">Answer</button>
    </form>`}
  </div>`;
}

function prettyJson(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function Editor({ text, onSave, onCancel }) {
  const [value, setValue] = useState(text);
  return html`<form class="stack tight" onSubmit=${(event) => (event.preventDefault(), onSave(value))}>
    <textarea aria-label="Edited message" rows="3" value=${value} onInput=${(event) => setValue(event.currentTarget.value)}></textarea>
    <div class="row end"><button type="button" class="button small" onClick=${onCancel}>Cancel</button>
      <button type="submit" class="button small primary">Send again</button></div>
  </form>`;
}

function Actions({ turn, busy, onEdit, onAgain }) {
  if (busy || turn.role === "tool") return null;
  return html`<div class="row message-actions">
    ${turn.role === "user" && html`<button type="button" class="button small quiet" onClick=${onEdit}>Edit</button>`}
    ${turn.role === "assistant" && html`<button type="button" class="button small quiet" onClick=${onAgain}>Again</button>`}
    ${turn.text && html`<${CopyButton} text=${turn.text} />`}
  </div>`;
}

function Speed({ stats }) {
  const { toFirst, rate, total } = speedOf(stats);
  const parts = [
    rate !== null && `${number(rate, 1)} tokens/s`,
    toFirst !== null && `first token after ${duration(toFirst)}`,
    stats.tokens !== undefined && `${number(stats.tokens)} tokens`,
    stats.promptTokens !== undefined && `prompt ${number(stats.promptTokens)}`,
  ].filter(Boolean);
  return html`<details class="speed"><summary class="muted">${parts.join(" · ") || `total ${duration(total)}`}</summary>
    <${TimingBar} timing=${stats.timing} total=${stats.end - stats.start} first=${toFirst === null ? null : toFirst * 1000} />
    <small class="muted mono">request ${stats.requestId}</small>
  </details>`;
}
