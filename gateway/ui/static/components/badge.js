/** A word in a coloured frame, such as a model's state. The colour repeats what the word says. */

import { html } from "../lib/view.js";

const TONES = {
  ready: "good", done: "good", completed: "good", succeeded: "good",
  starting: "busy", running: "busy", draining: "busy", stopping: "busy", processing: "busy", validating: "busy",
  backoff: "bad", failed: "bad", error: "bad", expired: "bad",
};

/** @param {{ state: string, tone?: "good" | "busy" | "bad" | "plain" }} props */
export function Badge({ state, tone }) {
  return html`<span class="badge" data-tone=${tone ?? TONES[state] ?? "plain"}>${state}</span>`;
}
