// Calls a server through OpenAI's Node SDK and prints the answers as JSON.
// Run as: node ask.mjs BASE_URL IMAGE_AS_DATA_URI

import OpenAI, { NotFoundError } from "openai";

const [, , baseURL, image] = process.argv;
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const messages = [
  {
    role: "user",
    content: [
      { type: "text", text: "What is in the image?" },
      { type: "image_url", image_url: { url: image } },
    ],
  },
];

async function listModels() {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  return { ids, one: (await client.models.retrieve("org/fake")).id };
}

async function chatWhole() {
  const answer = await client.chat.completions.create({ model: "org/fake", messages });
  return {
    text: answer.choices[0].message.content,
    reason: answer.choices[0].finish_reason,
    tokens: answer.usage.total_tokens,
  };
}

async function chatStreamed() {
  const stream = await client.chat.completions.create({
    model: "org/fake",
    messages,
    stream: true,
    stream_options: { include_usage: true },
  });
  const pieces = [];
  let tokens = 0;
  for await (const chunk of stream) {
    const piece = chunk.choices[0]?.delta.content;
    if (piece) pieces.push(piece);
    tokens = chunk.usage?.total_tokens ?? tokens;
  }
  return { pieces, tokens };
}

async function embed() {
  const input = ["one", "two"];
  const packed = await client.embeddings.create({ model: "org/fake", input }); // the SDK asks for base64 by itself
  const plain = await client.embeddings.create({ model: "org/fake", input, encoding_format: "float" });
  return {
    packed: packed.data.map((item) => Array.from(item.embedding)),
    plain: plain.data.map((item) => item.embedding),
  };
}

async function generateImages() {
  const answer = await client.images.generate({ model: "org/fake", prompt: "a barn", n: 2, size: "64x32" });
  return answer.data.map((image) => image.b64_json);
}

async function fail() {
  try {
    await client.chat.completions.create({ model: "unknown", messages });
  } catch (error) {
    return { isNotFound: error instanceof NotFoundError, code: error.code, message: error.message };
  }
  return null;
}

const results = {
  models: await listModels(),
  whole: await chatWhole(),
  streamed: await chatStreamed(),
  vectors: await embed(),
  images: await generateImages(),
  refusal: await fail(),
};
console.log(JSON.stringify(results));
