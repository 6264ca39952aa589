/** Requests to the public API, with the key of this tab. Every failure is an `ApiError`. */

import { createStore } from "./store.js";

/** The address of the API: this module is at `ui/<version>/lib/api.js` below it. */
export const ROOT = new URL("../../../", import.meta.url);

const KEY = "enginehouse-key";

/** The key of this tab, or "". Another tab asks for its own. */
export const key = createStore(sessionStorage.getItem(KEY) ?? "");

key.subscribe(() => {
  if (key.get()) sessionStorage.setItem(KEY, key.get());
  else sessionStorage.removeItem(KEY);
});

/** Counts the answers that refused the key, so that the page can ask for another one. */
export const refusals = createStore(0);

/**
 * An answer that is an error, or no answer: then `status` is 0. `message` is the server's own, and says what to do.
 */
export class ApiError extends Error {
  /** @param {{ status: number, message: string, code?: string, param?: string | null, requestId?: string | null,
   *   details?: object, retryAfter?: number | null, body?: unknown }} fields */
  constructor(fields) {
    super(fields.message);
    this.name = "ApiError";
    this.status = fields.status;
    this.code = fields.code ?? "";
    this.param = fields.param ?? null;
    this.requestId = fields.requestId ?? null;
    this.details = fields.details ?? {};
    this.retryAfter = fields.retryAfter ?? null;
    this.body = fields.body;
  }
}

/**
 * Send a request; `path` is relative to the API's root, such as `v1/models`. A `json` value becomes the body of a POST.
 * @param {string} path
 * @param {{ method?: string, json?: unknown, body?: BodyInit, headers?: Record<string, string>, signal?: AbortSignal }} [options]
 * @returns {Promise<Response>} an answer whose status is below 400
 * @throws {ApiError} and AbortError, once `signal` is aborted
 */
export async function request(path, options = {}) {
  const { json, headers = {}, ...rest } = options;
  const init = { ...rest, headers: { ...headers }, cache: "no-store" };
  if (json !== undefined) {
    init.method ??= "POST";
    init.body = JSON.stringify(json);
    init.headers["content-type"] = "application/json";
  }
  const sent = key.get();
  if (sent) init.headers.authorization = `Bearer ${sent}`;
  let response;
  try {
    response = await fetch(new URL(path.replace(/^\//, ""), ROOT), init);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError({ status: 0, code: "unreachable", message: "Enginehouse does not answer. Is it running?" });
  }
  if (response.ok) return response;
  const failure = await failureOf(response);
  if (failure.status === 401 && sent === key.get()) refusals.update((count) => count + 1);
  throw failure;
}

/**
 * The JSON of an answer.
 * @param {string} path
 * @param {Parameters<typeof request>[1]} [options]
 */
export async function requestJson(path, options = {}) {
  const response = await request(path, { ...options, headers: { accept: "application/json", ...options.headers } });
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError({ status: 0, code: "unreachable", message: "The answer of Enginehouse ended early." });
  }
}

/**
 * The error of an answer, in any of the forms in which paths write errors.
 * @param {Response} response
 */
export async function failureOf(response) {
  const text = await response.text().catch(() => "");
  const body = parsed(text);
  const error = typeof body?.error === "object" ? body.error : (body ?? {});
  const message = error?.message ?? body?.detail ?? body?.error ?? text.slice(0, 500);
  return new ApiError({
    status: response.status,
    message: typeof message === "string" && message ? message : `The answer has the status ${response.status}.`,
    code: error?.code,
    param: error?.param,
    requestId: error?.request_id ?? response.headers.get("x-request-id"),
    details: error?.details,
    retryAfter: Number(response.headers.get("retry-after")) || null,
    body: body ?? text,
  });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
