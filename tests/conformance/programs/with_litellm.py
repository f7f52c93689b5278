"""Fine-tunes a model and asks it, with LiteLLM. Reads and prints JSON."""

import json
import sys
import time

import litellm

given = json.load(sys.stdin)
where = {"custom_llm_provider": "openai", "api_base": given["base_url"], "api_key": given["api_key"]}
content = ("train.jsonl", given["training_lines"].encode())
file = litellm.create_file(file=content, purpose="fine-tune", **where)
hyperparameters = {"n_epochs": 1, "batch_size": 8}
job = litellm.create_fine_tuning_job(
    model=given["base"], training_file=file.id, hyperparameters=hyperparameters, **where
)
deadline = time.monotonic() + 300
while job.status not in ("succeeded", "failed"):
    assert time.monotonic() < deadline, job
    time.sleep(0.5)
    job = litellm.retrieve_fine_tuning_job(fine_tuning_job_id=job.id, **where)
assert job.status == "succeeded", job.error
model = job.fine_tuned_model
asked = {
    "model": f"openai/{model}",
    "api_base": given["base_url"],
    "api_key": given["api_key"],
    "messages": [{"role": "user", "content": given["prompt"]}],
    "max_tokens": 16,
    "temperature": 0,
}
whole = litellm.completion(**asked)
streamed = [chunk.choices[0].delta.content or "" for chunk in litellm.completion(stream=True, **asked)]
print(json.dumps({"model": model, "whole": whole.choices[0].message.content, "streamed": "".join(streamed)}))
