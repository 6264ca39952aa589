// Runs LangChain's agent for JavaScript, which n8n uses, and prints the results as JSON.
// Run as: node langchain.mjs BASE_URL IMAGE_AS_DATA_URI

import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { createAgent, tool } from "langchain";
import { z } from "zod";

const [, , baseURL] = process.argv;
const Forecast = z.object({ city: z.string(), days: z.int() }).describe("A forecast");
const cities = [];
const getWeather = tool(
  ({ city }) => {
    cities.push(city);
    return "21 °C";
  },
  { name: "get_weather", description: "Looks at the weather.", schema: z.object({ city: z.string() }) },
);
const fields = { model: "agent", apiKey: "none", maxRetries: 0, useResponsesApi: false, configuration: { baseURL } };
// n8n sets no limit as -1, and a timeout.
const chat = new ChatOpenAI({ ...fields, maxTokens: -1, timeout: 60000, temperature: 0.7 });
const weather = { messages: [{ role: "user", content: "Weather?" }] };
const agent = createAgent({ model: chat, tools: [getWeather] });

async function stream() {
  const pieces = [];
  for await (const [chunk] of await agent.stream(weather, { streamMode: "messages" })) {
    if (chunk.getType() === "ai") pieces.push(chunk.text);
  }
  return pieces.join("");
}

async function structured(method) {
  const held = chat.withStructuredOutput(Forecast, { method, name: "Forecast" });
  return held.invoke("A forecast as JSON");
}

const embeddings = new OpenAIEmbeddings({ model: "minilm", apiKey: "none", configuration: { baseURL } });
const results = {
  agent: (await agent.invoke(weather)).messages.at(-1).text,
  streamed: await stream(),
  structured: [await structured("jsonSchema"), await structured("functionCalling"), await structured("jsonMode")],
  vectors: (await embeddings.embedDocuments(["one", "two"])).map((vector) => vector.length),
  cities,
};
console.log(JSON.stringify(results));
