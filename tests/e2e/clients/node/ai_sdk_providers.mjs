// Runs the AI SDK's own providers with tools, objects, streams and images: OpenAI's (its default calls Responses) and
// Anthropic's. Run as: node ai_sdk_providers.mjs BASE_URL IMAGE_AS_DATA_URI

import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { embedMany, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const [, , baseURL, image] = process.argv;
const Forecast = z.object({ city: z.string(), days: z.int() });
const cities = [];
const tools = {
  get_weather: tool({
    description: "Looks at the weather.",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => {
      cities.push(city);
      return "21 °C";
    },
  }),
};
const loop = { tools, stopWhen: stepCountIs(3), prompt: "Weather?", maxRetries: 0 };

async function answers(model) {
  const whole = await generateText({ model, ...loop });
  const streamed = streamText({ model, ...loop });
  const pieces = [];
  for await (const piece of streamed.textStream) pieces.push(piece);
  const content = [
    { type: "text", text: "What is this?" },
    { type: "image", image },
  ];
  const shown = await generateText({ model, messages: [{ role: "user", content }], maxRetries: 0 });
  return {
    agent: whole.text,
    streamed: pieces.join(""),
    counted: (await streamed.totalUsage).outputTokens > 0,
    image: shown.text,
  };
}

async function object(model) {
  const output = Output.object({ schema: Forecast });
  return (await generateText({ model, output, prompt: "A forecast as JSON", maxRetries: 0 })).output;
}

async function failure(model) {
  try {
    await generateText({ model, prompt: "Hi", maxRetries: 0 });
    return null;
  } catch (error) {
    return [error.statusCode, error.message.includes("There is no model")];
  }
}

const openai = createOpenAI({ baseURL, apiKey: "none" });
const anthropic = createAnthropic({ baseURL, apiKey: "none" });
const vectors = await embedMany({ model: openai.embedding("minilm"), values: ["one", "two"] });
const results = {
  responses: await answers(openai("agent")),
  chat: await answers(openai.chat("agent")),
  messages: await answers(anthropic("agent")),
  objects: [await object(openai("agent")), await object(openai.chat("agent"))],
  errors: [await failure(openai("llama3")), await failure(anthropic("llama3"))],
  vectors: vectors.embeddings.map((vector) => vector.length),
  cities,
};
console.log(JSON.stringify(results));
