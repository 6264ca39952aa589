// Runs the AI SDK with tools, objects and streams, and prints the results as JSON.
// Run as: node ai_sdk.mjs BASE_URL IMAGE_AS_DATA_URI

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
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

function provider(supportsStructuredOutputs) {
  return createOpenAICompatible({ name: "enginehouse", baseURL, includeUsage: true, supportsStructuredOutputs });
}

const model = provider(true).chatModel("agent");

async function generateObject(chatModel) {
  const answer = await generateText({
    model: chatModel,
    output: Output.object({ schema: Forecast }),
    prompt: "A forecast as JSON",
    maxRetries: 0,
  });
  return answer.output;
}

async function stream() {
  const answer = streamText({ model, ...loop });
  const pieces = [];
  for await (const piece of answer.textStream) pieces.push(piece);
  const steps = await answer.steps;
  return { text: pieces.join(""), thoughts: steps[0].reasoningText, tokens: (await answer.totalUsage).totalTokens };
}

async function streamObject() {
  const answer = streamText({ model, output: Output.object({ schema: Forecast }), prompt: "A forecast as JSON" });
  let last;
  for await (const partial of answer.partialOutputStream) last = partial;
  return last;
}

const whole = await generateText({ model, ...loop });
const shown = await generateText({
  model,
  messages: [
    {
      role: "user",
      content: [
        { type: "text", text: "What is this?" },
        { type: "image", image },
      ],
    },
  ],
});
const vectors = await embedMany({ model: provider(true).embeddingModel("minilm"), values: ["one", "two"] });
const results = {
  agent: whole.text,
  thoughts: whole.steps[0].reasoningText,
  streamed: await stream(),
  by_format: await generateObject(model),
  by_mode: await generateObject(provider(false).chatModel("agent")),
  streamed_object: await streamObject(),
  image: shown.text,
  vectors: vectors.embeddings.map((vector) => vector.length),
  cities,
};
console.log(JSON.stringify(results));
