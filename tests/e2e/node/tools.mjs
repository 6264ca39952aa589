// Calls tools and parses answers with OpenAI's Node SDK, whole and streamed, and prints the results as JSON.
// Run as: node tools.mjs BASE_URL

import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const [, , baseURL] = process.argv;
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const model = "agent";
const messages = [{ role: "user", content: "Weather?" }];
const question = [{ role: "user", content: "A forecast as JSON" }];
const Forecast = z.object({ city: z.string(), days: z.int().min(1) });
const cities = [];
const getWeather = zodFunction({
  name: "get_weather",
  parameters: z.object({ city: z.string() }),
  function: ({ city }) => {
    cities.push(city);
    return "21 °C";
  },
});

async function streamCalls() {
  const stream = client.chat.completions.stream({ model, messages, tools: [getWeather] });
  const done = [];
  const thoughts = []; // the SDK's sum keeps only the last piece of a field that it does not know
  stream.on("tool_calls.function.arguments.done", (event) => done.push(event.name));
  stream.on("chunk", (chunk) => thoughts.push(chunk.choices[0]?.delta.reasoning_content ?? ""));
  const completion = await stream.finalChatCompletion();
  const [call] = completion.choices[0].message.tool_calls;
  return { done, parsed: call.function.parsed_arguments, thoughts: thoughts.join("") };
}

async function streamParsed() {
  const stream = client.chat.completions.stream({
    model,
    messages: question,
    response_format: zodResponseFormat(Forecast, "forecast"),
  });
  return (await stream.finalChatCompletion()).choices[0].message.parsed;
}

async function parse() {
  const format = zodResponseFormat(Forecast, "forecast");
  const answer = await client.chat.completions.parse({ model, messages: question, response_format: format });
  return answer.choices[0].message.parsed;
}

async function parseRequired() {
  const tools = [zodFunction({ name: "Forecast", parameters: Forecast })];
  const answer = await client.chat.completions.parse({ model, messages, tools, tool_choice: "required" });
  return answer.choices[0].message.tool_calls[0].function.parsed_arguments;
}

const results = {
  agent: await client.chat.completions.runTools({ model, messages, tools: [getWeather] }).finalContent(),
  streamed: await client.chat.completions.runTools({ model, messages, tools: [getWeather], stream: true }).finalContent(),
  calls: await streamCalls(),
  parsed: await parse(),
  streamed_parsed: await streamParsed(),
  required: await parseRequired(),
  cities,
};
console.log(JSON.stringify(results));
