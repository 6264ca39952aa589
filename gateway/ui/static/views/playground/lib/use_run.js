/** A request of a tab: its state while it runs, its outcome, and the button that stops it. */

import { useEffect, useRef, useState } from "../../../lib/view.js";

/**
 * @typedef {{ state: "idle" | "running" | "done" | "failed" | "stopped", outcome: import("./send.js").Outcome | null,
 *   error: Error | null, progress: object | null, partial: any[] }} Run
 */

const IDLE = { state: "idle", outcome: null, error: null, progress: null, partial: [] };

/**
 * `start` runs `work`, which gets the signal that `stop` aborts and a function that reports what is known so far.
 * @returns {[Run, (work: (signal: AbortSignal, report: (change: Partial<Run>) => void) => Promise<any>) => void, () => void,
 *   (run: Run) => void]}
 */
export function useRun() {
  const [run, setRun] = useState(IDLE);
  const control = useRef(null);
  useEffect(() => () => control.current?.abort(), []);
  const start = async (work) => {
    control.current?.abort();
    const own = (control.current = new AbortController());
    const change = (fields) => control.current === own && setRun((current) => ({ ...current, ...fields }));
    setRun({ ...IDLE, state: "running" });
    try {
      change({ state: "done", outcome: await work(own.signal, change), progress: null });
    } catch (error) {
      change(error.name === "AbortError" ? { state: "stopped" } : { state: "failed", error });
    }
  };
  return [run, start, () => control.current?.abort(), setRun];
}
