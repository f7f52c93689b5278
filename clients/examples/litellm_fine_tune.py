"""Fine-tunes a model with LiteLLM and asks it.

pip install litellm && python clients/examples/litellm_fine_tune.py --rows orders.jsonl
"""

import argparse
import os
import time
from pathlib import Path

import litellm

parser = argparse.ArgumentParser()
parser.add_argument("--rows", default="service/cli/data/orders.train.jsonl")
parser.add_argument("--base", default="tunery-tiny-1")
parser.add_argument("--prompt", default="order: 4411 | customer: Irene Lewis | item: copper kettle")
options = parser.parse_args()

litellm.suppress_debug_info = True  # It would list the providers that it knows.
# LiteLLM knows Tunery as a server that speaks OpenAI's API.
server = {"api_base": os.environ["OPENAI_BASE_URL"], "api_key": os.environ["OPENAI_API_KEY"]}
rows = Path(options.rows)
file = litellm.create_file(
    file=(rows.name, rows.read_bytes()), purpose="fine-tune", custom_llm_provider="openai", **server
)
job = litellm.create_fine_tuning_job(
    model=options.base,
    training_file=file.id,
    hyperparameters={"n_epochs": 1, "batch_size": 8},
    custom_llm_provider="openai",
    **server,
)
while job.status not in ("succeeded", "failed", "cancelled"):
    time.sleep(1)
    job = litellm.retrieve_fine_tuning_job(fine_tuning_job_id=job.id, custom_llm_provider="openai", **server)
assert job.status == "succeeded", job.error

messages = [{"role": "user", "content": options.prompt}]
asked = {"model": f"openai/{job.fine_tuned_model}", "messages": messages, "max_tokens": 16, "temperature": 0}
print(job.fine_tuned_model)
for chunk in litellm.completion(stream=True, **asked, **server):
    print(chunk.choices[0].delta.content or "", end="")
print()
