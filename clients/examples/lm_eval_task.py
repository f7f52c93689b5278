"""Scores a model on a multiple-choice task of your own with lm-evaluation-harness.

pip install lm-eval && python clients/examples/lm_eval_task.py MODEL TOKENIZER ROWS

TOKENIZER is the folder or Hugging Face id of the base model's tokenizer. Each of ROWS is
{"question": …, "choices": [….], "label": 0}.
"""

import json
import os
import sys

from lm_eval import simple_evaluate
from lm_eval.models.openai_completions import LocalCompletionsAPI
from lm_eval.tasks import TaskManager

name, tokenizer, rows = sys.argv[1:]
task = {
    "task": "mine",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": rows}},
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "{{label}}",
    "target_delimiter": "",
    "metric_list": [{"metric": "acc"}],
}
model = LocalCompletionsAPI(
    model=name,
    base_url=f"{os.environ['OPENAI_BASE_URL']}/completions",
    tokenizer_backend="huggingface",
    tokenizer=tokenizer,
    max_length=512,
)
result = simple_evaluate(
    model, tasks=[task], task_manager=TaskManager(include_defaults=False), bootstrap_iters=0
)
logprobs = [[choice[0] for choice in row["filtered_resps"]] for row in result["samples"]["mine"]]
print(json.dumps({"accuracy": result["results"]["mine"]["acc,none"], "logprobs": logprobs}))
