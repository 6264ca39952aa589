/** The view Playground: a tab for each task, with which every model can be tried. */

import { html, useEffect } from "../../lib/view.js";
import { ErrorBox } from "../../components/error_box.js";
import { linkTo, navigate } from "../../lib/router.js";
import { useStore } from "../../lib/store.js";
import { catalogue, loadTasks } from "./lib/tasks.js";
import ChatTab from "./chat/chat_tab.js";
import TaskTab from "./task_tab.js";

/** The tabs that people look for first; all others follow in the order of the API. */
const FIRST = [
  "chat", "image-generation", "image-edit", "image-variation", "detect", "segment", "depth", "pointcloud", "features", "ocr",
  "caption", "analyze", "embeddings", "rerank", "transcription", "translation", "speech", "crawl", "completions", "tokenize",
  "detokenize",
];

/** @param {{ route: import("../../lib/router.js").Route }} props */
export default function Playground({ route }) {
  const { tasks, error } = useStore(catalogue);
  useEffect(() => {
    loadTasks();
  }, []);
  if (!tasks) {
    return html`<h1>Playground</h1>
      ${error ? html`<${ErrorBox} error=${error} onRetry=${loadTasks} />` : html`<p class="muted" role="status">Loading …</p>`}`;
  }
  const sorted = [...tasks].sort((one, other) => place(one) - place(other));
  const task = sorted.find(({ id }) => id === route.path[0]) ?? sorted.find(({ models }) => models.length) ?? sorted[0];
  return html`<${Tabs} tasks=${sorted} current=${task} /><${Tab} key=${task.id} task=${task} />`;
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
