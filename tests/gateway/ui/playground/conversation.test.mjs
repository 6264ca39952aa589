/** What a conversation sends, and how it grows with the pieces of an answer. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { newAnswer, openCalls, requestOf, speedOf, withChunk } from "../../../../gateway/ui/static/views/playground/chat/conversation.js";

const chunk = (delta, rest = {}) => ({ choices: [{ index: 0, delta, ...rest }] });
const folded = (...chunks) => chunks.reduce((answer, piece, index) => withChunk(answer, piece, 100 + index * 10), newAnswer(50, "r"));

test("puts text, reasoning and times of an answer together", () => {
  const answer = folded(
    chunk({ role: "assistant" }),
    chunk({ reasoning_content: "Hm", reasoning: "Hm" }),
    chunk({ content: "Hel" }),
    chunk({ content: "lo" }, { finish_reason: "stop" }),
    { choices: [], usage: { completion_tokens: 5, prompt_tokens: 9 } },
  );
  assert.deepEqual([answer.text, answer.reasoning, answer.finish], ["Hello", "Hm", "stop"]);
  assert.deepEqual(answer.stats, { start: 50, requestId: "r", first: 110, tokens: 5, promptTokens: 9 });
  assert.deepEqual(speedOf({ ...answer.stats, end: 2110 }), { toFirst: 0.06, rate: 2, total: 2.06 });
  assert.deepEqual(speedOf({ start: 0 }), { toFirst: null, rate: null, total: null });
});

test("puts calls of tools together, and knows which have no result", () => {
  const answer = folded(
    chunk({ tool_calls: [{ index: 0, id: "a", type: "function", function: { name: "weather", arguments: "" } }] }),
    chunk({ tool_calls: [{ index: 0, function: { arguments: '{"city":' } }] }),
    chunk({ tool_calls: [{ index: 0, function: { arguments: '"Bonn"}' } }, { index: 1, id: "b", function: { name: "time", arguments: "{}" } }] }),
  );
  assert.deepEqual(answer.calls, [
    { id: "a", name: "weather", arguments: '{"city":"Bonn"}' },
    { id: "b", name: "time", arguments: "{}" },
  ]);
  const turns = [{ role: "user", text: "?" }, answer, { role: "tool", callId: "a", text: "rain" }];
  assert.deepEqual(openCalls(turns).map(({ id }) => id), ["b"]);
  const { messages } = requestOf({ model: "m", system: "", options: {} }, turns);
  assert.deepEqual(messages[1].tool_calls[0], { id: "a", type: "function", function: { name: "weather", arguments: '{"city":"Bonn"}' } });
  assert.deepEqual(messages[2], { role: "tool", tool_call_id: "a", content: "rain" });
});

test("sends images before the text, the system message first, and no empty answers", () => {
  const turns = [
    { role: "user", text: "What?", images: [{ dataUrl: "data:image/png;base64,AA==", name: "a" }] },
    { ...newAnswer(0), state: "failed" },
  ];
  const body = requestOf({ model: "", system: "Be brief.", options: { temperature: 0 } }, turns);
  assert.equal("model" in body, false);
  assert.deepEqual(body.messages, [
    { role: "system", content: "Be brief." },
    { role: "user", content: [{ type: "image_url", image_url: { url: "data:image/png;base64,AA==" } }, { type: "text", text: "What?" }] },
  ]);
  assert.deepEqual([body.stream, body.temperature], [true, 0]);
});
