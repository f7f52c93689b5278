"""Estimates of jobs beside what the jobs then take: `python -m tests.benchmarks.estimates`.

Starts a fresh `tunery up`, runs a few jobs, and then estimates others before it runs them. Exits with 1 if
tokens or steps differ at all, or if the middle of a range is more than 30 % from the job's own time. The
middle is the geometric mean, because the ends of a range are multiples of measured times."""

import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

from openai import OpenAI

from tests.e2e.lifecycle import wait
from tests.e2e.server import BASE, jsonl, running

TOLERANCE = 0.3
FIRST = ({"rows": 40, "n_epochs": 2, "batch_size": 4}, {"rows": 160, "n_epochs": 2, "batch_size": 16})
ESTIMATED = (
    {"rows": 40, "n_epochs": 2, "batch_size": 4},
    {"rows": 400, "n_epochs": 3, "batch_size": 4},
    {"rows": 400, "n_epochs": 4, "batch_size": 16},
    {"rows": 200, "n_epochs": 3, "batch_size": 8, "training": {"validation_split": 0.1}, "seed": 3},
)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "data") as tunery:
        client = tunery.client()
        for case in FIRST:
            _run(client, _body(client, **case))
        print("| job | estimated s | took s | middle / took | tokens, steps |")
        print("| --- | --- | --- | --- | --- |")
        are_right = [_is_right(client, case) for case in ESTIMATED]
    return 0 if all(are_right) else 1


def _is_right(client: OpenAI, case: dict[str, Any]) -> bool:
    body = _body(client, **case)
    found: Any = client.post("/fine_tuning/jobs/estimate", body=body, cast_to=object)
    job = _run(client, body)
    total, cost = found["time"]["total"], job["tunery"]["cost"]
    ratio = math.sqrt(total["low"] * total["high"]) / cost["seconds"]
    steps = job["tunery"]["progress"]["total_steps"]
    is_exact = (found["tokens"]["trained"], found["steps"]) == (job["trained_tokens"], steps)
    print(
        f"| {json.dumps(case)} | {total['low']:.1f}-{total['high']:.1f} | {cost['seconds']:.1f} "
        f"| {ratio:.2f} | {'exact' if is_exact else 'differ'} |"
    )
    return is_exact and abs(ratio - 1) <= TOLERANCE


def _body(client: OpenAI, *, rows: int, n_epochs: int, batch_size: int, **more: Any) -> dict[str, Any]:
    file = client.files.create(file=("train.jsonl", jsonl(rows)), purpose="fine-tune")
    hyperparameters = {"n_epochs": n_epochs, "batch_size": batch_size}
    return {"model": BASE, "training_file": file.id, "hyperparameters": hyperparameters, **more}


def _run(client: OpenAI, body: dict[str, Any]) -> dict[str, Any]:
    created: Any = client.post("/fine_tuning/jobs", body=body, cast_to=object)
    job = wait(client, created["id"], seconds=900)
    assert job.status == "succeeded", job.error
    return job.to_dict()


if __name__ == "__main__":
    sys.exit(main())
