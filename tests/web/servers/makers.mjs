// Read bodies with the parsers of those who made the protocols; print what they made of each.
// stdin: {"prefix": …, "bodies": [{"maker", "body" (base64), "size" (bytes a piece)}]}
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const asked = JSON.parse(readFileSync(0, "utf8"));
const require = createRequire(asked.prefix + "/package.json");
const load = (name) => import(pathToFileURL(require.resolve(name)));

function pieces(bytes, size) {
  return new ReadableStream({
    start(controller) {
      for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.subarray(at, at + size));
      controller.close();
    },
  });
}

async function vercel(stream) {
  const { parseJsonEventStream, uiMessageChunkSchema, readUIMessageStream } = await load("ai");
  const chunks = [];
  for await (const one of parseJsonEventStream({ stream, schema: uiMessageChunkSchema })) {
    if (!one.success) throw one.error;
    chunks.push(one.value);
  }
  const failures = [];
  let message;
  const whole = new ReadableStream({
    start(controller) {
      chunks.forEach((chunk) => controller.enqueue(chunk));
      controller.close();
    },
  });
  const onError = (error) => failures.push(String(error.message ?? error));
  for await (message of readUIMessageStream({ stream: whole, onError }));
  return { types: chunks.map((chunk) => chunk.type), message, failures };
}

async function agUi(stream) {
  const { EventSchema } = await load("@ag-ui/core/schemas");
  const { EventSourceParserStream } = await load("eventsource-parser/stream");
  const events = [];
  const parsed = stream.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
  for await (const { data } of parsed) events.push(EventSchema.parse(JSON.parse(data)));
  return { events };
}

async function openai(stream) {
  const { default: OpenAI } = await load("openai");
  const headers = { "content-type": "text/event-stream" };
  const fetch = async () => new Response(stream, { headers });
  const client = new OpenAI({ apiKey: "none", baseURL: "http://localhost", maxRetries: 0, fetch });
  const runner = client.chat.completions.stream({ model: "m", messages: [] });
  runner.on("error", () => {});
  try {
    return { completion: await runner.finalChatCompletion() };
  } catch (error) {
    return { error: String(error.message), snapshot: runner.currentChatCompletionSnapshot };
  }
}

const makers = { vercel, "ag-ui": agUi, openai };
const answers = [];
for (const { maker, body, size } of asked.bodies) {
  const bytes = new Uint8Array(Buffer.from(body, "base64"));
  try {
    answers.push(await makers[maker](pieces(bytes, size)));
  } catch (error) {
    answers.push({ refused: String(error) });
  }
}
console.log(JSON.stringify(answers));
