// Runs OpenAI's Agents SDK for JavaScript, and prints the results as JSON.
// Run as: node openai_agents.mjs BASE_URL IMAGE_AS_DATA_URI

import { Agent, OpenAIChatCompletionsModel, run, setTracingDisabled, tool } from "@openai/agents";
import OpenAI from "openai";
import { z } from "zod";

const [, , baseURL] = process.argv;
setTracingDisabled(true);
const model = new OpenAIChatCompletionsModel(new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 }), "agent");
const cities = [];
const getWeather = tool({
  name: "get_weather",
  description: "Looks at the weather.",
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => {
    cities.push(city);
    return "21 °C";
  },
});
const agent = new Agent({ name: "agent", instructions: "Help.", model, tools: [getWeather] });
const Forecast = z.object({ city: z.string(), days: z.int() });
const structured = new Agent({ name: "object", instructions: "Help.", model, outputType: Forecast });

async function stream() {
  const streamed = await run(agent, "Weather?", { stream: true });
  for await (const event of streamed) void event;
  await streamed.completed;
  return streamed.finalOutput;
}

const results = {
  agent: (await run(agent, "Weather?")).finalOutput,
  streamed: await stream(),
  structured: (await run(structured, "A forecast as JSON")).finalOutput,
  cities,
};
console.log(JSON.stringify(results));
