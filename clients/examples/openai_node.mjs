// Fine-tunes a model with OpenAI's SDK for Node, with a parameter of Tunery's own, and asks the model.
//
// npm install openai && node clients/examples/openai_node.mjs [ROWS] [BASE] [PROMPT]
import fs from "node:fs";
import { setTimeout } from "node:timers/promises";
import OpenAI from "openai";

const [
  rows = "service/cli/data/orders.train.jsonl",
  base = "tunery-tiny-1",
  prompt = "order: 4411 | customer: Irene Lewis | item: copper kettle | quantity: 102 | price: 44.15",
] = process.argv.slice(2);

const client = new OpenAI(); // OPENAI_BASE_URL and OPENAI_API_KEY say which server
const file = await client.files.create({ file: fs.createReadStream(rows), purpose: "fine-tune" });

// Routes that OpenAI does not have are reached through get and post.
const estimate = await client.post("/fine_tuning/jobs/estimate", {
  body: { model: base, training_file: file.id },
});
console.log(`${estimate.rows.trained} examples, ${estimate.steps} steps`);

let job = await client.fineTuning.jobs.create({
  model: base,
  training_file: file.id,
  suffix: "node",
  training: { r: 16 }, // TypeScript: // @ts-expect-error
});
while (!["succeeded", "failed", "cancelled"].includes(job.status)) {
  await setTimeout(1000);
  job = await client.fineTuning.jobs.retrieve(job.id);
}
if (job.status !== "succeeded") throw new Error(`${job.id} ended as ${job.status}: ${JSON.stringify(job.error)}`);

const messages = [{ role: "user", content: prompt }];
const stream = await client.chat.completions.create({
  model: job.fine_tuned_model,
  messages,
  temperature: 0,
  stream: true,
});
console.log(job.fine_tuned_model);
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
console.log();
