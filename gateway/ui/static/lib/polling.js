/** Values that are asked for again and again, while the page is visible. */

import { useCallback, useEffect, useRef, useState } from "./view.js";

/**
 * The latest value of `ask`, and why the last attempt failed. Asks again `interval` milliseconds after each answer, when
 * `inputs` change, when the page becomes visible or online, and when `refresh` is called.
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} ask
 * @param {{ interval: number, inputs?: unknown[] }} options
 * @returns {{ value: T | null, error: Error | null, refresh: () => void }}
 */
export function usePolled(ask, { interval, inputs = [] }) {
  const [state, setState] = useState({ value: null, error: null });
  const latest = useRef(ask);
  const again = useRef(() => {});
  latest.current = ask;
  useEffect(() => {
    let abort = new AbortController();
    let timer = 0;
    const look = async () => {
      clearTimeout(timer);
      abort.abort();
      const own = (abort = new AbortController());
      try {
        const value = await latest.current(own.signal);
        if (!own.signal.aborted) setState({ value, error: null });
      } catch (error) {
        if (!own.signal.aborted) setState(({ value }) => ({ value, error }));
      }
      if (!own.signal.aborted) timer = setTimeout(() => document.visibilityState === "visible" && look(), interval);
    };
    const onVisible = () => document.visibilityState === "visible" && look();
    again.current = look;
    look();
    document.addEventListener("visibilitychange", onVisible);
    addEventListener("online", look);
    return () => {
      clearTimeout(timer);
      abort.abort();
      document.removeEventListener("visibilitychange", onVisible);
      removeEventListener("online", look);
    };
  }, [interval, ...inputs]);
  return { ...state, refresh: useCallback(() => again.current(), []) };
}
