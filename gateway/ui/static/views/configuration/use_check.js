/** Has the server check an edited text, once the user pauses. */

import { useEffect, useState } from "../../lib/view.js";
import { requestJson } from "../../lib/api.js";

const PAUSE = 500;

/**
 * @typedef {{ message: string, line: number | null, column: number | null, key: string | null }} Problem
 * What the server says of `text`.
 * @typedef {{ text: string | null, state: "unchanged" | "checking" | "checked" | "failed", valid: boolean, problems: Problem[], diff: string,
 *   needs_restart: string[], error: Error | null }} Check
 */

const UNCHANGED = { text: null, state: "unchanged", valid: false, problems: [], diff: "", needs_restart: [], error: null };

/**
 * @param {string} path of the configuration
 * @param {string} text
 * @param {boolean} isChanged
 * @returns {Check}
 */
export function useCheck(path, text, isChanged) {
  const [check, setCheck] = useState(UNCHANGED);
  useEffect(() => {
    if (!isChanged) return undefined;
    const end = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const answer = await requestJson(`${path}/check`, { json: { text }, signal: end.signal });
        setCheck({ ...UNCHANGED, ...answer, text, state: "checked" });
      } catch (error) {
        if (error.name !== "AbortError") setCheck({ ...UNCHANGED, text, state: "failed", error });
      }
    }, PAUSE);
    return () => (clearTimeout(timer), end.abort());
  }, [path, text, isChanged]);
  if (!isChanged) return UNCHANGED;
  return check.text === text ? check : { ...check, state: "checking", valid: false, error: null };
}
