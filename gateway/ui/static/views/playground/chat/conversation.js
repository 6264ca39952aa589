/** A conversation as the page keeps it, the request that it becomes, and what the pieces of an answer add to it. Pure. */

/**
 * A turn. `calls` are the tools that the model called; `result` answers the call `callId`.
 * @typedef {{ role: "user" | "assistant" | "tool", text: string, images?: { dataUrl: string, name: string }[],
 *   reasoning?: string, calls?: { id: string, name: string, arguments: string }[], callId?: string, finish?: string | null,
 *   state?: "running" | "done" | "stopped" | "failed", model?: string, error?: Error | null, stats?: Stats }} Turn
 * @typedef {{ start: number, first?: number, end?: number, tokens?: number, promptTokens?: number, timing?: string | null,
 *   requestId?: string | null }} Stats times in milliseconds
 */

/**
 * The body of the request for the next answer.
 * @param {{ model: string, system: string, options: object }} settings
 * @param {Turn[]} turns
 */
export function requestOf({ model, system, options }, turns) {
  const messages = turns.filter(isSent).map(messageOf);
  if (system.trim()) messages.unshift({ role: "system", content: system });
  const body = { messages, ...options, stream: true, stream_options: { include_usage: true } };
  return model ? { model, ...body } : body;
}

/** Answers that failed before their first word are not part of what is sent. */
function isSent(turn) {
  return turn.role !== "assistant" || Boolean(turn.text || turn.calls?.length);
}

function messageOf(turn) {
  if (turn.role === "tool") return { role: "tool", tool_call_id: turn.callId, content: turn.text };
  if (turn.role === "assistant") {
    const message = { role: "assistant", content: turn.text };
    if (turn.calls?.length) message.tool_calls = turn.calls.map(asCall);
    return message;
  }
  if (!turn.images?.length) return { role: "user", content: turn.text };
  const images = turn.images.map(({ dataUrl }) => ({ type: "image_url", image_url: { url: dataUrl } }));
  return { role: "user", content: [...images, ...(turn.text ? [{ type: "text", text: turn.text }] : [])] };
}

function asCall({ id, name, arguments: text }) {
  return { id, type: "function", function: { name, arguments: text } };
}

/** An answer that has not begun. @param {number} now @param {string | null} [requestId] @returns {Turn} */
export function newAnswer(now, requestId = null) {
  return { role: "assistant", text: "", reasoning: "", calls: [], state: "running", error: null, stats: { start: now, requestId } };
}

/**
 * The answer with what a chunk adds.
 * @param {Turn} answer
 * @param {any} chunk of a streamed chat completion
 * @param {number} now
 * @returns {Turn}
 */
export function withChunk(answer, chunk, now) {
  const choice = chunk.choices?.[0];
  const delta = choice?.delta ?? {};
  const stats = { ...answer.stats };
  if (stats.first === undefined && (delta.content || delta.reasoning_content || delta.tool_calls)) stats.first = now;
  if (chunk.usage) {
    stats.tokens = chunk.usage.completion_tokens;
    stats.promptTokens = chunk.usage.prompt_tokens;
  }
  return {
    ...answer,
    model: chunk.model || answer.model,
    text: answer.text + (delta.content ?? ""),
    reasoning: answer.reasoning + (delta.reasoning_content ?? delta.reasoning ?? ""),
    calls: (delta.tool_calls ?? []).reduce(withCall, answer.calls),
    finish: choice?.finish_reason ?? answer.finish,
    stats,
  };
}

function withCall(calls, piece) {
  const index = piece.index ?? calls.length;
  const call = calls[index] ?? { id: "", name: "", arguments: "" };
  const grown = {
    id: piece.id ?? call.id,
    name: call.name + (piece.function?.name ?? ""),
    arguments: call.arguments + (piece.function?.arguments ?? ""),
  };
  return Object.assign([...calls], { [index]: grown });
}

/**
 * Time to the first token, and tokens in each second after it.
 * @param {Stats} stats
 * @returns {{ toFirst: number | null, rate: number | null, total: number | null }} seconds
 */
export function speedOf({ start, first, end, tokens }) {
  const seconds = first !== undefined && end !== undefined ? (end - first) / 1000 : 0;
  return {
    toFirst: first === undefined ? null : (first - start) / 1000,
    rate: tokens > 1 && seconds > 0 ? (tokens - 1) / seconds : null,
    total: end === undefined ? null : (end - start) / 1000,
  };
}

/** The calls that have no result yet. @param {Turn[]} turns */
export function openCalls(turns) {
  const answered = new Set(turns.filter(({ role }) => role === "tool").map(({ callId }) => callId));
  return turns.flatMap(({ calls }) => calls ?? []).filter(({ id }) => !answered.has(id));
}
