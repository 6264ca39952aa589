// Runs Ollama's client with tools, schemas, streams, images, embeddings, errors and a cancelled stream.
// Run as: node ollama.mjs BASE_URL IMAGE_AS_DATA_URI

import { Ollama } from "ollama";

const [, , baseURL, image] = process.argv;
const client = new Ollama({ host: baseURL.replace(/\/v1$/, "") });
const cities = [];
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ type: "function", function: { name: "get_weather", description: "Looks.", parameters } }];

async function agent(stream) {
  const messages = [{ role: "user", content: "Weather?" }];
  for (;;) {
    const answer = await client.chat({ model: "agent", messages, tools, stream });
    const parts = [];
    if (stream) for await (const part of answer) parts.push(part);
    else parts.push(answer);
    const calls = parts.flatMap((part) => part.message.tool_calls ?? []);
    const content = parts.map((part) => part.message.content ?? "").join("");
    if (!calls.length) return content;
    messages.push({ role: "assistant", content, tool_calls: calls });
    for (const call of calls) {
      cities.push(call.function.arguments.city);
      messages.push({ role: "tool", tool_name: call.function.name, content: "21 °C" });
    }
  }
}

async function cancelled() {
  const stream = await client.generate({ model: "slow", prompt: "word ".repeat(500), stream: true });
  const pieces = [];
  try {
    for await (const part of stream) {
      pieces.push(part.response);
      if (pieces.length === 2) client.abort();
    }
  } catch (error) {
    return [error.name, pieces.length < 500];
  }
  return null;
}

async function failure() {
  try {
    await client.chat({ model: "llama3", messages: [{ role: "user", content: "Hi" }] });
    return null;
  } catch (error) {
    return [error.status_code, error.error.includes("There is no model")];
  }
}

const format = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city", "days"],
};
const results = {
  agent: await agent(false),
  streamed: await agent(true),
  structured: JSON.parse((await client.generate({ model: "agent", prompt: "A forecast as JSON.", format })).response),
  image: (await client.generate({ model: "agent", prompt: "What is this?", images: [image.split(",")[1]] })).response,
  vectors: (await client.embed({ model: "minilm", input: ["a", "b"] })).embeddings.map((vector) => vector.length),
  models: (await client.list()).models.map((model) => model.model).sort(),
  error: await failure(),
  cancelled: await cancelled(),
  cities,
};
console.log(JSON.stringify(results));
