/** Sends requests of the playground: at once, as a stream, or as a job that reports its steps. */

import { ApiError, request, requestJson } from "../../../lib/api.js";
import { eventsOf } from "../../../lib/sse.js";

/**
 * An answer. `value` is its JSON; `blob` any other content; `events` those of a stream.
 * @typedef {{ path: string, body: object, value?: any, blob?: Blob, events?: any[], type: string, total: number,
 *   first: number, timing: string | null, requestId: string | null, job?: object }} Outcome
 */

/**
 * Send a request and read its answer.
 * @param {string} path
 * @param {object} body
 * @param {{ signal?: AbortSignal, requestId?: string, onEvent?: (event: any, events: any[]) => void }} [options] `onEvent`
 *   gets the JSON of each event of a stream as it arrives
 * @returns {Promise<Outcome>}
 */
export async function send(path, body, { signal, requestId, onEvent = () => {} } = {}) {
  const start = performance.now();
  const headers = requestId ? { "x-request-id": requestId } : {};
  const response = await request(path, { json: body, headers, signal });
  const type = response.headers.get("content-type") ?? "";
  let first = performance.now() - start;
  const noteFirst = (event, events) => {
    if (events.length === 1) first = performance.now() - start; // the head of a stream may come while it waits
    onEvent(event, events);
  };
  const content = await contentOf(response, type, noteFirst);
  const timing = response.headers.get("server-timing");
  const answered = response.headers.get("x-request-id");
  return { path, body, type, timing, requestId: answered, ...content, first, total: performance.now() - start };
}

async function contentOf(response, type, onEvent) {
  try {
    if (type.startsWith("text/event-stream")) return { events: await readEvents(response, onEvent) };
    if (type.startsWith("application/json")) return { value: await response.json() };
    return { blob: await response.blob() };
  } catch (error) {
    throw brokenOff(error);
  }
}

/** The error of an answer that could not be read to its end. Browsers say `network error` and the like. @param {Error} error */
export function brokenOff(error) {
  if (!(error instanceof TypeError || error instanceof SyntaxError)) return error;
  const message = "The answer broke off: the connection to Enginehouse was lost. Send the request again.";
  return new ApiError({ status: 0, code: "unreachable", message });
}

async function readEvents(response, onEvent) {
  const events = [];
  for await (const { data } of eventsOf(response)) {
    if (data === "[DONE]") break;
    const event = JSON.parse(data);
    if (event.error) throw failure(event.error, 200, response.headers.get("x-request-id"));
    events.push(event);
    onEvent(event, events);
  }
  return events;
}

/** An error in a stream or a job, as the API's other errors. @param {any} error @param {number} status @param {string | null} requestId */
export function failure(error, status, requestId) {
  const { message, code, param, details, request_id: id } = error;
  return new ApiError({ status, message, code, param, details, requestId: id ?? requestId });
}

/**
 * Run a request as a job, so that its steps are known, and remove the job once its result is here.
 * @param {string} jobPath
 * @param {object} body
 * @param {{ signal?: AbortSignal, onProgress?: (progress: object | null, job: object) => void }} [options]
 * @returns {Promise<Outcome>}
 */
export async function sendAsJob(jobPath, body, { signal, onProgress = () => {} } = {}) {
  const start = performance.now();
  const { job_id: id } = await requestJson(jobPath, { json: body, signal });
  let job = null;
  try {
    job = await followJob(id, signal, onProgress);
    if (job?.status !== "completed") throw failure(job?.error ?? { message: `The job is ${job?.status}.` }, 0, id);
    const response = await request(`jobs/${id}/result`, { signal });
    const type = response.headers.get("content-type") ?? "";
    const content = await contentOf(response, type, () => {});
    return { path: jobPath, body, type, first: 0, timing: timesOf(job), requestId: id, job, ...content, total: performance.now() - start };
  } finally {
    discard(id);
  }
}

/** The job as it ended. */
async function followJob(id, signal, onProgress) {
  const events = await request(`jobs/${id}/events`, { headers: { accept: "text/event-stream" }, signal });
  let job = null;
  try {
    for await (const { data } of eventsOf(events)) {
      job = JSON.parse(data);
      onProgress(job.progress, job);
    }
  } catch (error) {
    throw brokenOff(error);
  }
  return job;
}

/** How long a job waited and worked, in the form of `Server-Timing`. */
function timesOf({ created_at: created, started_at: started, completed_at: ended }) {
  return `queue;dur=${Date.parse(started) - Date.parse(created)}, job;dur=${Date.parse(ended) - Date.parse(started)}`;
}

/** A job that runs is cancelled by the first DELETE and removed by the second. */
async function discard(id) {
  try {
    const { deleted } = await requestJson(`jobs/${id}`, { method: "DELETE" });
    if (!deleted) await request(`jobs/${id}`, { method: "DELETE" });
  } catch {
    // It expires by itself.
  }
}
