// Mixed calls with the official Node SDK: `node node_calls.mjs BASE_URL KEY ROUNDS`. Checks every answer as a user of the SDK
// would see it and prints one JSON report, as python_calls.py does. The provider's side is aimock_fixtures.json.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { VERSION } from "openai/version";

const [baseURL, apiKey, rounds] = process.argv.slice(2);
const MODELS = ["gpt-4", "gpt-4-32k", "gpt-4-turbo", "gpt-3.5-turbo", "gpt-4o-mini", "gpt-6-sol"];
const TEXTS = ["How many bytes are in a kibibyte?", "请解释什么是大语言模型。", "👩‍👩‍👧‍👦 naïve café 🚀🧾"];
const TOOLS = ["get_weather", "get_time"].map((name) => ({
  type: "function",
  function: { name, parameters: { type: "object", properties: { city: { type: "string" } } } },
}));
const PIXEL =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

const report = { version: VERSION, calls: {}, answers: [], turned_away: [] };
let made = 0;

async function noted(url, options) {
  const answer = await fetch(url, options);
  report.answers.push(answer.headers.get("x-request-id"));
  return answer;
}

const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, fetch: noted });

function named(kind) {
  made += 1;
  report.calls[kind] = (report.calls[kind] ?? 0) + 1;
  return { headers: { "X-Client-Request-Id": `openai-node-${kind}-${made}` } };
}

function chat(kind, model, text, more = {}) {
  return client.chat.completions.create({ model, messages: [{ role: "user", content: text }], ...more }, named(kind));
}

async function all(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const textOf = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");

async function plain(model, text) {
  const answer = await chat("plain", model, text);
  assert.equal(answer.model, model);
  assert.ok(answer.choices[0].message.content);
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
}

async function streamed(model, text) {
  const chunks = await all(await chat("streamed", model, text, { stream: true }));
  assert.ok(chunks.every((chunk) => !("usage" in chunk)));
  assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
  assert.ok(textOf(chunks));
}

async function streamedWithUsage(model, text) {
  const more = { stream: true, stream_options: { include_usage: true } };
  const chunks = await all(await chat("streamed-with-usage", model, text, more));
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.ok(chunks.at(-1).usage.prompt_tokens > 0);
  assert.ok(textOf(chunks));
}

async function parallelTools(_model, text) {
  const answer = await chat("tools", "gpt-4.1", text, { tools: TOOLS });
  const calls = answer.choices[0].message.tool_calls;
  assert.deepEqual(calls.map((call) => JSON.parse(call.function.arguments).city), ["北京 🌧", "Zürich"]);
}

async function parallelToolsStreamed(_model, text) {
  const whole = [];
  for await (const chunk of await chat("tools-streamed", "gpt-4.1", text, { tools: TOOLS, stream: true })) {
    for (const part of chunk.choices[0].delta.tool_calls ?? []) {
      whole[part.index] = (whole[part.index] ?? "") + (part.function.arguments ?? "");
    }
  }
  assert.deepEqual(whole.map((text) => JSON.parse(text).city), ["北京 🌧", "Zürich"]);
}

async function structured(_model, text) {
  const schema = {
    type: "object",
    properties: { number: { type: "integer" }, customer: { type: "string" } },
    required: ["number", "customer"],
    additionalProperties: false,
  };
  const response_format = { type: "json_schema", json_schema: { name: "invoice", strict: true, schema } };
  const answer = await chat("structured", "gpt-4o", text, { response_format });
  assert.deepEqual(JSON.parse(answer.choices[0].message.content), { number: 7, customer: "艾达" });
}

async function image(model, text) {
  const content = [{ type: "text", text }, { type: "image_url", image_url: { url: PIXEL } }];
  const answer = await chat("image", "gpt-4o-mini", text, { messages: [{ role: "user", content }] });
  assert.ok(answer.choices[0].message.content);
}

async function embeddings(_model, text) {
  const answer = await client.embeddings.create({ model: "text-embedding-3-small", input: text }, named("embeddings"));
  assert.deepEqual(answer.data[0].embedding, [0.125, -0.5, 0.25, 1]);
}

async function errors(_model, text) {
  for (const [model, status, expected] of [
    ["gpt-4.1-mini", 400, OpenAI.BadRequestError],
    ["gpt-4.1-nano", 429, OpenAI.RateLimitError],
    ["o3-mini", 503, OpenAI.InternalServerError],
  ]) {
    await assert.rejects(chat(`upstream-${status}`, model, text), (error) => {
      assert.ok(error instanceof expected, `${error}`);
      return error.status === status;
    });
  }
}

async function hangUp(_model, text) {
  for await (const chunk of await chat("hang-up", "gpt-5.1", text, { stream: true })) {
    if (chunk.choices[0].delta.content) break;
  }
}

async function inTurn(kinds) {
  for (let next = kinds.shift(); next; next = kinds.shift()) await next();
}

const kinds = [];
for (let round = 0; round < Number(rounds); round += 1) {
  const good = [plain, streamed, streamedWithUsage, plain, streamed, parallelTools, parallelToolsStreamed];
  const round_ = [...good, structured, image, embeddings, ...(round % 4 ? [] : [errors, hangUp])];
  round_.forEach((kind, at) => {
    const number = round * round_.length + at;
    kinds.push(() => kind(MODELS[number % MODELS.length], TEXTS[number % TEXTS.length]));
  });
}
await Promise.all(Array.from({ length: 8 }, () => inTurn(kinds)));
process.stdout.write(JSON.stringify(report));
