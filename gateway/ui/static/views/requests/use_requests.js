/** Follows the list of requests: loads it once, then takes each change from the stream of events. */

import { useEffect, useState } from "../../lib/view.js";
import { requestJson } from "../../lib/api.js";
import { insist } from "../../lib/insist.js";
import { follow } from "../../lib/sse.js";

const KEPT = 1000;

/**
 * @typedef {{ seq: number, number: number, id: string, time: number, method: string, path: string, model: string | null,
 *   key: string | null, client: string | null, job: boolean, stream: boolean, status: number | null, error: string | null,
 *   seconds: number | null, first_byte: number | null, phases: Record<string, number>, bytes_sent: number }} LoggedRequest
 */

/**
 * How a request has ended: `running`, `ok` or `failed`.
 * @param {LoggedRequest} request
 */
export function outcomeOf(request) {
  if (request.status === null) return "running";
  return request.error || request.status >= 400 ? "failed" : "ok";
}

/** The requests, the newest first, or null before they are known. */
export function useRequests() {
  const [attempt, setAttempt] = useState(0);
  const [state, setState] = useState({ requests: null, error: null, isLive: false });
  useEffect(() => followRequests((change) => setState((before) => ({ ...before, ...change }))), [attempt]);
  return { ...state, retry: () => setAttempt(attempt + 1) };
}

function followRequests(publish) {
  const known = new Map();
  const end = new AbortController();
  let frame = 0;
  let stop = () => {};
  const show = () => {
    frame = 0;
    publish({ requests: [...known.values()].sort((one, other) => other.number - one.number).slice(0, KEPT), error: null });
  };
  const put = (request) => {
    known.set(request.number, request);
    if (known.size > KEPT + 100) known.delete(Math.min(...known.keys()));
  };
  const fail = (error) => publish({ error, isLive: false });
  const load = async () => {
    const ask = () => requestJson(`v1/system/requests?limit=${KEPT}`, { signal: end.signal });
    const page = await insist(ask, { signal: end.signal, onError: fail });
    known.clear(); // after a restart of the server, its numbers begin again
    page.requests.forEach(put);
    show();
    return page.seq;
  };
  const begin = async () => {
    const seq = await load();
    let wasLost = false;
    const onEvent = ({ data }) => {
      put(JSON.parse(data));
      frame ||= requestAnimationFrame(show);
    };
    const onState = (connection, error) => {
      if (connection === "open" && wasLost) load().catch(() => {}); // the error is shown already
      wasLost = connection === "lost";
      publish({ isLive: !wasLost, ...(error?.status ? { error } : {}) });
    };
    if (!end.signal.aborted) stop = follow(`v1/system/requests/events?since=${seq}`, { onEvent, onState });
  };
  begin().catch(() => {}); // the error is shown already
  return () => {
    end.abort();
    stop();
    cancelAnimationFrame(frame);
  };
}
