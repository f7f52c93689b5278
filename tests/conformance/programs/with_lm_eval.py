"""Scores a model on a small multiple-choice task with lm-evaluation-harness. Reads and prints JSON."""

import json
import sys
import tempfile
from pathlib import Path

from lm_eval import simple_evaluate
from lm_eval.models.openai_completions import LocalCompletionsAPI
from lm_eval.tasks import TaskManager

given = json.load(sys.stdin)
with tempfile.TemporaryDirectory() as folder:
    rows = Path(folder, "rows.jsonl")
    rows.write_text("".join(json.dumps(row) + "\n" for row in given["rows"]))
    task = {
        "task": "orders",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(rows)}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{label}}",
        "target_delimiter": "",
        "metric_list": [{"metric": "acc"}],
    }
    model = LocalCompletionsAPI(
        model=given["model"],
        base_url=f"{given['base_url']}/completions",
        tokenizer_backend="huggingface",
        tokenizer=given["tokenizer"],
        max_length=512,
    )
    result = simple_evaluate(
        model, tasks=[task], task_manager=TaskManager(include_defaults=False), bootstrap_iters=0
    )
scored = result["samples"]["orders"]
print(
    json.dumps(
        {
            "accuracy": result["results"]["orders"]["acc,none"],
            "logprobs": [[choice[0] for choice in row["filtered_resps"]] for row in scored],
        }
    )
)
