/** Chat: a conversation with one model, or with two on the same messages. */

import { html, useLayoutEffect, useMemo, useRef, useState } from "../../../lib/view.js";
import { ErrorBox } from "../../../components/error_box.js";
import { ModelChoice } from "../inputs/model_choice.js";
import { SchemaField } from "../inputs/schema_field.js";
import { RequestCode } from "../request_code.js";
import { bodyOf, fieldsOf } from "../lib/schema.js";
import { draftOf, keepDraft, usualModel } from "../lib/tasks.js";
import { Composer } from "./composer.js";
import { openCalls, requestOf } from "./conversation.js";
import { Message } from "./message.js";
import { useConversation } from "./use_conversation.js";
import { useFollowing } from "./use_following.js";

const BY_HAND = new Set(["messages", "stream", "stream_options", "n"]);
const FIRST = ["temperature", "max_tokens", "top_p", "reasoning_effort", "seed", "tools", "response_format"];

/** @param {{ task: any }} props */
export default function ChatTab({ task }) {
  const [draft, setDraft] = useState(() => draftOf(task.id) ?? { models: [usualModel(task)], system: "", values: {} });
  useLayoutEffect(() => keepDraft(task.id, draft), [draft]);
  const change = (fields) => setDraft((current) => ({ ...current, ...fields }));
  const fields = useMemo(() => fieldsOf(task).filter(({ name, group }) => !BY_HAND.has(name) && group !== "inert"), [task]);
  const all = [useConversation(0), useConversation(1)];
  const conversations = all.slice(0, draft.models.length);
  const [invalid, setInvalid] = useState(null);
  const settings = settingsOf(draft, fields);
  const go = (turnsOf) => {
    setInvalid(settings.error);
    if (settings.error) return;
    conversations.forEach((conversation, index) => conversation.answer(turnsOf(conversation), settings.of(draft.models[index])));
  };
  const send = (text, images) => go(({ turns }) => [...turns, { role: "user", text, images }]);
  const busy = conversations.some((conversation) => conversation.busy);
  const { turns } = conversations[0];
  return html`<div class="task-tab chat-tab">
    <div class="card stack task-form">
      <header><h2>${task.title}</h2><p class="muted">${task.description}</p></header>
      <${ModelChoice} task=${task} models=${draft.models} onInput=${(models) => change({ models })} />
      <${Options} fields=${fields} draft=${draft} change=${change} />
      <${ErrorBox} error=${invalid} />
      <button type="button" class="button" disabled=${!turns.length} onClick=${() => all.forEach(({ clear }) => clear())}>New conversation</button>
    </div>
    <div class="stack task-output">
      <div class="conversations" data-columns=${conversations.length}>
        ${conversations.map(
          (conversation, index) => html`<${Conversation} key=${index} conversation=${conversation} busy=${busy} settings=${() => settings.of(draft.models[index])}
            title=${conversations.length > 1 ? draft.models[index] || "Default model" : null} onEdit=${(at, text) => go(({ turns: own }) => edited(own, at, text))} />`,
        )}
      </div>
      <${Composer} busy=${busy} onSend=${send} onStop=${() => conversations.forEach(({ stop }) => stop())} />
      <${RequestCode} task=${task} bodies=${bodiesOf(settings, draft.models, turns)} />
    </div>
  </div>`;
}

/** What the code beside the conversation shows: the request for the last answer, or a first one. */
function bodiesOf(settings, models, turns) {
  if (settings.error) return [];
  return models.map((model) => requestOf(settings.of(model), turns.length ? withoutRunning(turns) : SAMPLE));
}

const SAMPLE = [{ role: "user", text: "Hello!" }];

function withoutRunning(turns) {
  return turns.at(-1)?.role === "assistant" ? turns.slice(0, -1) : turns;
}

function edited(turns, at, text) {
  return [...turns.slice(0, at), { ...turns[at], text }];
}

function settingsOf(draft, fields) {
  try {
    const options = bodyOf(fields, draft.values);
    return { error: null, of: (model) => ({ model, system: draft.system, options }) };
  } catch (error) {
    return { error, of: () => null };
  }
}

function Options({ fields, draft, change }) {
  const show = (field) => html`<${SchemaField} key=${field.name} field=${field} value=${draft.values[field.name]}
    onInput=${(value) => change({ values: { ...draft.values, [field.name]: value } })} />`;
  const first = FIRST.map((name) => fields.find((field) => field.name === name)).filter(Boolean);
  const rest = fields.filter((field) => !FIRST.includes(field.name));
  return html`
    <label class="field"><span>System message</span>
      <textarea rows="2" value=${draft.system} onInput=${(event) => change({ system: event.currentTarget.value })}></textarea></label>
    ${first.slice(0, 2).map(show)}
    <details class="more-fields"><summary>More options <span class="muted">${first.length - 2 + rest.length}</span></summary>
      <div class="stack">${first.slice(2).map(show)}${rest.map(show)}</div>
    </details>`;
}

function Conversation({ conversation, busy, settings, title, onEdit }) {
  const { turns, answer } = conversation;
  const open = openCalls(turns);
  const end = useRef(null);
  const last = turns.at(-1);
  useFollowing(end, turns.length, `${last?.state} ${Math.floor(((last?.text.length ?? 0) + (last?.reasoning?.length ?? 0)) / 100)}`);
  const result = (callId, text) => {
    const extended = [...turns, { role: "tool", callId, text }];
    answer(extended, settings());
  };
  return html`<section class="conversation" aria-label=${title ? `Conversation with ${title}` : "Conversation"}>
    ${title && html`<h3>${title}</h3>`}
    ${!turns.length && html`<p class="muted conversation-empty">Ask something, or drop an image and ask about it.</p>`}
    <ol class="plain messages" aria-live="polite" aria-relevant="additions">
      ${turns.map(
        (turn, index) => html`<${Message} key=${index} turn=${turn} open=${open} busy=${busy} onResult=${result}
          onEdit=${(text) => onEdit(index, text)} onAgain=${() => answer(turns.slice(0, index), settings())} />`,
      )}
    </ol>
    <span ref=${end} class="conversation-end"></span>
  </section>`;
}
