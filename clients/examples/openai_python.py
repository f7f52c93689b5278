"""Fine-tunes a model with OpenAI's SDK, follows the job and asks the model.

python clients/examples/openai_python.py --rows orders.jsonl --base tunery-tiny-1
"""

import argparse
import time
from pathlib import Path

from openai import OpenAI

PROMPT = "order: 4411 | customer: Irene Lewis | item: copper kettle | quantity: 102 | price: 44.15"

parser = argparse.ArgumentParser()
parser.add_argument("--rows", default="service/cli/data/orders.train.jsonl")
parser.add_argument("--base", default="tunery-tiny-1")
parser.add_argument("--prompt", default=PROMPT)
options = parser.parse_args()

client = OpenAI()  # OPENAI_BASE_URL and OPENAI_API_KEY say which server
file = client.files.create(file=Path(options.rows), purpose="fine-tune")
job = client.fine_tuning.jobs.create(
    model=options.base,
    training_file=file.id,
    suffix="python",
    method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}},
)
while job.status not in ("succeeded", "failed", "cancelled"):
    time.sleep(1)
    job = client.fine_tuning.jobs.retrieve(job.id)
for event in reversed(client.fine_tuning.jobs.list_events(job.id, limit=5).data):
    print(event.message)
assert job.status == "succeeded", job.error

messages = [{"role": "user", "content": options.prompt}]
answer = client.chat.completions.create(model=job.fine_tuned_model, messages=messages, temperature=0)
print(job.fine_tuned_model)
print(answer.choices[0].message.content)
