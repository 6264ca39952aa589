/** The view Playground: a tab for each task, with which every model can be tried. */

import { html, useEffect, useRef } from "../../lib/view.js";
import { ErrorBox } from "../../components/error_box.js";
import { status, useStatus } from "../../lib/live.js";
import { linkTo, navigate } from "../../lib/router.js";
import { useStore } from "../../lib/store.js";
import { catalogue, continued, loadTasks } from "./lib/tasks.js";
import ChatTab from "./chat/chat_tab.js";
import TaskTab from "./task_tab.js";

/** The tabs that people look for first; all others follow in the order of the API. */
const FIRST = [
  "chat", "image-generation", "image-edit", "image-variation", "detect", "segment", "depth", "pointcloud", "features", "ocr",
  "caption", "analyze", "embeddings", "rerank", "transcription", "translation", "speech", "crawl", "completions", "tokenize",
  "detokenize",
];

const MOST_TIMES = 5; // that the models are asked for, until they are those of the status
const PAUSE = 2000;

/** @param {{ route: import("../../lib/router.js").Route }} props */
export default function Playground({ route }) {
  const { tasks, error } = useCatalogue();
  const begun = useStore(continued);
  if (!tasks) {
    return html`<h1>Playground</h1>
      ${error ? html`<${ErrorBox} error=${error} onRetry=${loadTasks} />` : html`<p class="muted" role="status">Loading …</p>`}`;
  }
  const sorted = [...tasks].sort((one, other) => place(one) - place(other));
  const task = sorted.find(({ id }) => id === route.path[0]) ?? sorted.find(({ models }) => models.length) ?? sorted[0];
  return html`<${Tabs} tasks=${sorted} current=${task} /><${Tab} key=${`${task.id} ${begun}`} task=${task} />`;
}

/** The tasks and models, asked for when the playground opens, and again when the status has other models. */
function useCatalogue() {
  useStatus();
  const known = useStore(catalogue);
  const configured = useStore(status, (current) => current && namesOf(current.models));
  const asked = useRef({ configured: null, times: 0 });
  useEffect(() => {
    loadTasks();
  }, []);
  useEffect(() => {
    const isLoading = !known.tasks && !known.error;
    const isCurrent = known.tasks && configured === namesOf(known.models);
    if (!configured || isLoading || isCurrent) return undefined;
    if (asked.current.configured !== configured) asked.current = { configured, times: 0 };
    const { times } = asked.current;
    asked.current.times += 1;
    const timer = times < MOST_TIMES && setTimeout(loadTasks, times && PAUSE); // the lists may be a moment older than the status
    return () => clearTimeout(timer);
  }, [configured, known]);
  return known;
}

function namesOf(models) {
  return models.filter((model) => !model.preset_of).map(({ id }) => id).join("\n");
}

function place(task) {
  const index = FIRST.indexOf(task.id);
  return (task.models.length ? 0 : 1000) + (index < 0 ? 500 : index);
}

function Tab({ task }) {
  return task.id === "chat" ? html`<${ChatTab} task=${task} />` : html`<${TaskTab} task=${task} />`;
}

function Tabs({ tasks, current }) {
  useEffect(() => {
    document.querySelector(".task-tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }, [current.id]);
  return html`<div class="stack tabs-head">
    <h1>Playground</h1>
    <nav class="task-tabs" aria-label="Tasks">
      ${tasks.map(
        (task) => html`<a key=${task.id} href=${linkTo("playground", [task.id])} data-served=${task.models.length > 0}
          aria-current=${task === current ? "page" : undefined}>${task.title}</a>`,
      )}
    </nav>
    <label class="field task-select">
      <span class="visually-hidden">Task</span>
      <select value=${current.id} onChange=${(event) => navigate(linkTo("playground", [event.currentTarget.value]))}>
        ${tasks.map((task) => html`<option key=${task.id} value=${task.id}>${task.title}${task.models.length ? "" : " (no model)"}</option>`)}
      </select>
    </label>
  </div>`;
}
