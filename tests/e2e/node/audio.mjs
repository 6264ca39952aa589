// Reads a text aloud and transcribes recordings through OpenAI's Node SDK, and prints what came back as JSON.
// Run as: node audio.mjs BASE_URL RECORDING

import { createReadStream, readFileSync } from "node:fs";
import OpenAI, { BadRequestError, toFile } from "openai";

const [, , baseURL, recording] = process.argv;
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const speech = { model: "tts-1", input: "Hello there. How are you?", voice: "1" };
const heard = { model: "whisper-1", language: "de" };

const file = () => createReadStream(recording);

async function speakWhole() {
  const answer = await client.audio.speech.create({ ...speech, response_format: "wav" });
  return { type: answer.headers.get("content-type"), file: Buffer.from(await answer.arrayBuffer()).toString("base64") };
}

async function speakStreamed() {
  const answer = await client.audio.speech.create({ ...speech, response_format: "pcm" });
  let bytes = 0;
  for await (const piece of answer.body) bytes += piece.length;
  return { type: answer.headers.get("content-type"), bytes };
}

async function transcribe() {
  const whole = await client.audio.transcriptions.create({ ...heard, file: file() });
  const verbose = await client.audio.transcriptions.create({
    ...heard,
    file: await toFile(readFileSync(recording), "recording.wav"),
    response_format: "verbose_json",
    timestamp_granularities: ["segment", "word"],
  });
  const srt = await client.audio.transcriptions.create({ ...heard, file: file(), response_format: "srt" });
  return { whole, verbose, srt };
}

async function transcribeStreamed() {
  const stream = await client.audio.transcriptions.create({ ...heard, file: file(), stream: true });
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

async function hearSpeech({ file: spoken }) {
  const own = await toFile(Buffer.from(spoken, "base64"), "speech.wav");
  const answer = await client.audio.translations.create({ model: "whisper-1", file: own });
  return typeof answer.text;
}

async function failure(call) {
  try {
    await call;
  } catch (error) {
    return { isBadRequest: error instanceof BadRequestError, param: error.param };
  }
  return null;
}

const spoken = await speakWhole();
const results = {
  spoken,
  streamedSpeech: await speakStreamed(),
  transcribed: await transcribe(),
  events: await transcribeStreamed(),
  translated: await hearSpeech(spoken),
  refusals: [
    await failure(client.audio.speech.create({ ...speech, response_format: "midi" })),
    await failure(client.audio.transcriptions.create({ ...heard, language: "xx", file: file() })),
  ],
};
console.log(JSON.stringify(results));
