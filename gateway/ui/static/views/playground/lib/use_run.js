/** The request of a tab to one model: its state, its outcome, and how to stop it. It continues while another tab is shown. */

import { createStore, useStore } from "../../../lib/store.js";
import { newRequestId } from "./waits.js";

/**
 * @typedef {{ state: "idle" | "running" | "done" | "failed" | "stopped", outcome: import("./send.js").Outcome | null,
 *   error: Error | null, progress: object | null, partial: any[], requestId: string | null }} Run
 * @typedef {(control: { signal: AbortSignal, requestId: string, report: (change: Partial<Run>) => void }) => Promise<any>} Work
 */

const IDLE = { state: "idle", outcome: null, error: null, progress: null, partial: [], requestId: null };

/** The runs by name, as long as the page is open. */
const kept = new Map();

/**
 * @param {string} name such as `ocr 0`
 * @returns {{ run: Run, start: (work: Work) => void, stop: () => void, clear: () => void }}
 */
export function useRun(name) {
  if (!kept.has(name)) kept.set(name, { store: createStore(IDLE), control: null });
  const own = kept.get(name);
  const clear = () => {
    own.control?.abort();
    own.control = null;
    own.store.set(IDLE);
  };
  return { run: useStore(own.store), start: (work) => start(own, work), stop: () => own.control?.abort(), clear };
}

async function start(own, work) {
  own.control?.abort();
  const control = (own.control = new AbortController());
  const requestId = newRequestId();
  const report = (change) => own.control === control && own.store.update((run) => ({ ...run, ...change }));
  own.store.set({ ...IDLE, state: "running", requestId });
  try {
    report({ state: "done", outcome: await work({ signal: control.signal, requestId, report }), progress: null });
  } catch (error) {
    report(error.name === "AbortError" ? { state: "stopped" } : { state: "failed", error });
  }
}
