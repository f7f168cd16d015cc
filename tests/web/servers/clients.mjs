// Ask a server with openai-node; print what came back.
// stdin: {"prefix": …, "url": …}
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const asked = JSON.parse(readFileSync(0, "utf8"));
const require = createRequire(asked.prefix + "/package.json");
const { default: OpenAI } = await import(pathToFileURL(require.resolve("openai")));

const client = new OpenAI({ apiKey: "none", baseURL: asked.url, maxRetries: 0 });
const messages = [{ role: "user", content: "Grüße 日本" }];
const told = {};
let streamed = "";
const options = { stream: true, stream_options: { include_usage: true } };
for await (const chunk of await client.chat.completions.create({ model: "m", messages, ...options })) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
  told.usage = chunk.usage?.total_tokens;
}
told.streamed = streamed;
const whole = await client.chat.completions.create({ model: "m", messages });
told.whole = whole.choices[0].message.content;
told.model = (await client.models.list()).data[0].id;
try {
  await client.chat.completions.create({ model: "m", messages: [{ role: "wizard", content: "x" }] });
} catch (error) {
  told.refused = [error.constructor.name, error.status, error.message];
}
console.log(JSON.stringify(told));
