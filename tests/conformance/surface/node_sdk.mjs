// Calls every method of the openai SDK for Node that concerns files, fine-tuning, models and inference.
//
// `node node_sdk.mjs` reads and prints the same JSON as `python_sdk.py`. Methods have Python's names in it.

import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import OpenAI, { toFile } from "openai";
import { VERSION } from "openai/version";

const given = JSON.parse(readFileSync(0, "utf8"));
const secret = "whsec_" + Buffer.from("0123456789abcdef01234567").toString("base64");
const client = new OpenAI({
  baseURL: given.base_url,
  apiKey: given.api_key,
  adminAPIKey: given.admin_key,
  webhookSecret: secret,
  maxRetries: 0,
});
const resources = [
  "chat",
  "completions",
  "embeddings",
  "files",
  "fineTuning",
  "models",
  "responses",
  "uploads",
  "webhooks",
];
const messages = [{ role: "user", content: "order 3" }];
const parameters = { type: "object", properties: { order: { type: "integer" } }, required: ["order"] };
const chatTool = { type: "function", function: { name: "lookup", parameters } };
const answerFormat = {
  type: "json_schema",
  json_schema: {
    name: "reply",
    strict: true,
    schema: {
      type: "object",
      properties: { answer: { type: "string" } },
      required: ["answer"],
      additionalProperties: false,
    },
  },
};
const grader = {
  type: "string_check",
  name: "exact",
  input: "{{sample.output_text}}",
  reference: "{{item.answer}}",
  operation: "eq",
};

/** Awaits a call, checks the response's headers, and returns its object. */
async function raw(promise) {
  const { data, response } = await promise.withResponse();
  assert.match(response.headers.get("x-request-id"), /^req_/);
  assert.ok(Number(response.headers.get("openai-processing-ms")) >= 0);
  return data;
}

async function collect(iterable) {
  const items = [];
  for await (const item of iterable) items.push(item);
  return items;
}

const note = (content = "note\n") => toFile(Buffer.from(content), "note.txt");
const upload = async (content) => (await client.files.create({ file: await note(content), purpose: "user_data" })).id;
const newUpload = () =>
  raw(client.uploads.create({ bytes: 5, filename: "note.txt", mime_type: "text/plain", purpose: "user_data" }));
const addPart = async (id) => raw(client.uploads.parts.create(id, { data: await note("12345") }));
const newJob = () => raw(client.fineTuning.jobs.create({ model: given.base, training_file: given.training_file }));
const permit = () =>
  raw(client.fineTuning.checkpoints.permissions.create(given.checkpoint, { project_ids: [given.project] }));
const newEndpoint = () =>
  raw(
    client.webhooks.create({
      name: "jobs",
      url: given.receiver,
      event_types: ["fine_tuning.job.succeeded"],
    }),
  );

function signed() {
  const event = {
    id: "evt_1",
    object: "event",
    type: "fine_tuning.job.succeeded",
    created_at: 1,
    data: { id: "ftjob-1" },
  };
  const body = JSON.stringify(event);
  const timestamp = String(Math.floor(Date.now() / 1000));
  const key = Buffer.from(secret.slice("whsec_".length), "base64");
  const signature = createHmac("sha256", key).update(`evt_1.${timestamp}.${body}`).digest("base64");
  return [
    body,
    { "webhook-id": "evt_1", "webhook-timestamp": timestamp, "webhook-signature": `v1,${signature}` },
  ];
}

const calls = {
  "files.create": async () => {
    const file = await raw(client.files.create({ file: await note(), purpose: "user_data" }));
    assert.deepEqual([file.object, file.bytes, file.filename], ["file", 5, "note.txt"]);
  },
  "files.retrieve": async () => {
    assert.equal((await raw(client.files.retrieve(given.training_file))).purpose, "fine-tune");
  },
  "files.list": async () => {
    const files = await collect(client.files.list({ purpose: "fine-tune" }));
    assert.ok(files.some((file) => file.id === given.training_file));
  },
  "files.content": async () => {
    const content = await client.files.content(await upload("content\n"));
    assert.equal(await content.text(), "content\n");
  },
  "files.wait_for_processing": async () => {
    const file = await client.files.waitForProcessing(await upload(), { pollInterval: 10 });
    assert.equal(file.status, "processed");
  },
  "files.delete": async () => assert.equal((await raw(client.files.delete(await upload()))).deleted, true),
  "uploads.create": async () => assert.equal((await newUpload()).status, "pending"),
  "uploads.parts.create": async () => {
    const { id } = await newUpload();
    assert.equal((await addPart(id)).upload_id, id);
  },
  "uploads.complete": async () => {
    const { id } = await newUpload();
    const part = await addPart(id);
    const md5 = createHash("md5").update("12345").digest("hex");
    const completed = await raw(client.uploads.complete(id, { part_ids: [part.id], md5 }));
    assert.equal(completed.status, "completed");
    assert.equal(await (await client.files.content(completed.file.id)).text(), "12345");
  },
  "uploads.cancel": async () =>
    assert.equal((await raw(client.uploads.cancel((await newUpload()).id))).status, "cancelled"),
  "models.list": async () => {
    const models = (await collect(client.models.list())).map((model) => model.id);
    assert.ok(models.includes(given.base) && models.includes(given.model));
  },
  "models.retrieve": async () => assert.equal((await raw(client.models.retrieve(given.model))).object, "model"),
  "models.delete": async () => assert.equal((await raw(client.models.delete(given.other_model))).deleted, true),
  "fine_tuning.jobs.create": async () => assert.equal((await newJob()).status, "validating_files"),
  "fine_tuning.jobs.retrieve": async () => {
    assert.equal((await raw(client.fineTuning.jobs.retrieve(given.job))).fine_tuned_model, given.model);
  },
  "fine_tuning.jobs.list": async () => {
    const jobs = await collect(client.fineTuning.jobs.list({ limit: 1 }));
    assert.ok(jobs.some((job) => job.id === given.job));
  },
  "fine_tuning.jobs.list_events": async () => {
    const events = (await collect(client.fineTuning.jobs.listEvents(given.job))).map((event) => event.message);
    assert.ok(events.includes(`Created fine-tuning job: ${given.job}`));
  },
  "fine_tuning.jobs.checkpoints.list": async () => {
    const [checkpoint] = await collect(client.fineTuning.jobs.checkpoints.list(given.job));
    assert.equal(checkpoint.fine_tuned_model_checkpoint, given.checkpoint);
  },
  "fine_tuning.jobs.cancel": async () =>
    assert.equal((await raw(client.fineTuning.jobs.cancel((await newJob()).id))).status, "cancelled"),
  "fine_tuning.jobs.pause": async () =>
    assert.equal((await raw(client.fineTuning.jobs.pause(given.queued_job))).status, "paused"),
  "fine_tuning.jobs.resume": async () =>
    assert.equal((await raw(client.fineTuning.jobs.resume(given.queued_job))).status, "queued"),
  "fine_tuning.checkpoints.permissions.create": async () =>
    assert.equal((await permit()).data[0].project_id, given.project),
  "fine_tuning.checkpoints.permissions.list": async () => {
    const [permission] = await collect(client.fineTuning.checkpoints.permissions.list(given.checkpoint));
    assert.equal(permission.project_id, given.project);
  },
  "fine_tuning.checkpoints.permissions.retrieve": async () => {
    const answer = await raw(client.fineTuning.checkpoints.permissions.retrieve(given.checkpoint));
    assert.equal(answer.data[0].project_id, given.project);
  },
  "fine_tuning.checkpoints.permissions.delete": async () => {
    const [permission] = (await permit()).data;
    const options = { fine_tuned_model_checkpoint: given.checkpoint };
    const deleted = await raw(client.fineTuning.checkpoints.permissions.delete(permission.id, options));
    assert.equal(deleted.deleted, true);
  },
  "fine_tuning.alpha.graders.validate": async () =>
    assert.equal((await raw(client.fineTuning.alpha.graders.validate({ grader }))).grader.name, "exact"),
  "fine_tuning.alpha.graders.run": async () => {
    const body = { grader, item: { answer: "yes" }, model_sample: "yes" };
    assert.equal((await raw(client.fineTuning.alpha.graders.run(body))).reward, 1);
  },
  "completions.create": async () => {
    const body = { model: given.model, prompt: "order 3" };
    assert.equal((await raw(client.completions.create(body))).choices[0].text, given.text);
    const chunks = await collect(await client.completions.create({ ...body, stream: true }));
    assert.equal(chunks.map((chunk) => chunk.choices[0].text).join(""), given.text);
  },
  "chat.completions.create": async () => {
    const body = { model: given.model, messages };
    assert.equal((await raw(client.chat.completions.create(body))).choices[0].message.content, given.text);
    const chunks = await collect(await client.chat.completions.create({ ...body, stream: true }));
    assert.equal(chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join(""), given.text);
  },
  "chat.completions.parse": async () => {
    const body = { model: given.model, messages, response_format: answerFormat };
    const parsed = await client.chat.completions.parse(body);
    assert.deepEqual(JSON.parse(parsed.choices[0].message.content), { answer: "yes" });
  },
  "chat.completions.stream": async () => {
    const stream = client.chat.completions.stream({ model: given.model, messages });
    assert.equal(await stream.finalContent(), given.text);
  },
  "chat.completions.run_tools": async () => {
    const called = [];
    const tool = { ...chatTool, function: { ...chatTool.function, function: (sent) => void called.push(sent) } };
    const runner = client.chat.completions.runTools(
      { model: given.model, messages, tools: [tool] },
      { maxChatCompletions: 1 },
    );
    await runner.done();
    assert.deepEqual(called.map(JSON.parse), [{ order: 7 }]);
  },
  "chat.completions.retrieve": () => client.chat.completions.retrieve("chatcmpl-1"),
  "chat.completions.update": () => client.chat.completions.update("chatcmpl-1", { metadata: {} }),
  "chat.completions.list": () => client.chat.completions.list(),
  "chat.completions.delete": () => client.chat.completions.delete("chatcmpl-1"),
  "chat.completions.messages.list": () => client.chat.completions.messages.list("chatcmpl-1"),
  "embeddings.create": async () => {
    const embedded = await raw(client.embeddings.create({ model: given.encoder, input: ["order 3"] }));
    assert.ok(embedded.data[0].embedding.length > 1);
  },
  "responses.create": async () => {
    const body = { model: given.model, input: "order 3", store: false };
    assert.equal((await raw(client.responses.create(body))).output_text, given.text);
    const tool = { type: "function", name: "lookup", parameters, strict: false };
    const answer = await raw(client.responses.create({ ...body, tools: [tool] }));
    const functionCall = answer.output.find((item) => item.type === "function_call");
    assert.deepEqual(JSON.parse(functionCall.arguments), { order: 7 });
  },
  "responses.parse": async () => {
    const { name, schema, strict } = answerFormat.json_schema;
    const text = { format: { type: "json_schema", name, schema, strict } };
    const parsed = await client.responses.parse({ model: given.model, input: "order 3", text });
    assert.deepEqual(JSON.parse(parsed.output_text), { answer: "yes" });
  },
  "responses.stream": async () => {
    const stream = client.responses.stream({ model: given.model, input: "order 3" });
    assert.equal((await stream.finalResponse()).output_text, given.text);
  },
  "responses.retrieve": () => client.responses.retrieve("resp_1"),
  "responses.delete": () => client.responses.delete("resp_1"),
  "responses.cancel": () => client.responses.cancel("resp_1"),
  "responses.compact": () => client.responses.compact({ model: given.model, input: "order 3" }),
  "responses.input_items.list": () => client.responses.inputItems.list("resp_1"),
  "responses.input_tokens.count": () => client.responses.inputTokens.count({ model: given.model, input: "order 3" }),
  "webhooks.create": async () => assert.match((await newEndpoint()).signing_secret, /^whsec_/),
  "webhooks.retrieve": async () =>
    assert.equal((await raw(client.webhooks.retrieve((await newEndpoint()).id))).name, "jobs"),
  "webhooks.list": async () => {
    const { id } = await newEndpoint();
    assert.ok((await collect(client.webhooks.list())).some((endpoint) => endpoint.id === id));
  },
  "webhooks.update": async () => {
    const { id } = await newEndpoint();
    assert.equal((await raw(client.webhooks.update(id, { name: "other" }))).name, "other");
  },
  "webhooks.rotate_secret": async () => {
    const endpoint = await newEndpoint();
    assert.notEqual((await raw(client.webhooks.rotateSecret(endpoint.id))).signing_secret, endpoint.signing_secret);
  },
  "webhooks.test": async () => {
    const { id } = await newEndpoint();
    const tested = await raw(client.webhooks.test(id, { event_type: "fine_tuning.job.failed" }));
    assert.equal(tested.status_code, 204);
  },
  "webhooks.delete": async () =>
    assert.equal((await raw(client.webhooks.delete((await newEndpoint()).id))).deleted, true),
  "webhooks.event_types.list": async () =>
    assert.ok((await raw(client.webhooks.eventTypes.list())).data.includes("fine_tuning.job.succeeded")),
  "webhooks.unwrap": async () => {
    const event = await client.webhooks.unwrap(...signed());
    assert.deepEqual([event.type, event.data.id], ["fine_tuning.job.succeeded", "ftjob-1"]);
  },
  "webhooks.verify_signature": () => client.webhooks.verifySignature(...signed()),
};

/** Paths of the public methods of a resource and of all resources in it. */
function* methods(resource, path) {
  const names = [...Object.getOwnPropertyNames(Object.getPrototypeOf(resource)), ...Object.keys(resource)];
  for (const name of names) {
    const found = resource[name];
    if (name.startsWith("_") || name === "constructor") continue;
    if (found?._client) yield* methods(found, `${path}.${name}`);
    else if (typeof found === "function") yield `${path}.${name}`;
  }
}

const pythonName = (path) => path.replace(/[A-Z]/g, (letter) => "_" + letter.toLowerCase());
const has = resources.flatMap((name) => [...methods(client[name], name)]).map(pythonName);
const outcomes = {};
for (const [method, call] of Object.entries(calls)) {
  if (!has.includes(method)) continue;
  try {
    await call();
    outcomes[method] = null;
  } catch (error) {
    if (!(error instanceof OpenAI.APIError && error.code)) throw new Error(method, { cause: error });
    outcomes[method] = `${error.status} ${error.code}: ${error.error.message}`;
  }
}
const unknown = has.filter((method) => !(method in calls)).sort();
console.log(JSON.stringify({ version: VERSION, outcomes, unknown }));
