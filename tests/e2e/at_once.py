"""Many jobs at once on a fresh server, where they import, load and compile everything for the first time."""

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob

from tests.e2e.lifecycle import wait
from tests.e2e.server import BASE, jsonl

HYPERPARAMETERS: dict[str, Any] = {"n_epochs": 1, "batch_size": 4}
SUPERVISED = {"type": "supervised", "supervised": {"hyperparameters": HYPERPARAMETERS}}
DPO = {"type": "dpo", "dpo": {"hyperparameters": HYPERPARAMETERS}}


def check_jobs_at_once(client: OpenAI) -> None:
    """Creates two jobs of each kind at the same moment; all succeed, and their models answer."""
    chats, pairs = _upload(client, jsonl(12)), _upload(client, _preferences(12))
    kinds: list[dict[str, Any]] = [
        {"training_file": chats, "method": SUPERVISED},
        # OpenAI's older field for hyperparameters, from before `method`.
        {
            "training_file": chats,
            "hyperparameters": HYPERPARAMETERS,
            "extra_body": {"training": {"type": "full"}},
        },
        {"training_file": pairs, "method": DPO},
        {"training_file": chats, "method": SUPERVISED, "extra_body": {"training": {"type": "qlora"}}},
    ]
    together = Barrier(2 * len(kinds))

    def create(kind: dict[str, Any]) -> FineTuningJob:
        together.wait(30)
        return client.fine_tuning.jobs.create(model=BASE, **kind)

    with ThreadPoolExecutor(together.parties) as pool:
        created = list(pool.map(create, kinds * 2))
    ended = [wait(client, job.id, seconds=900) for job in created]
    assert [(job.status, job.error) for job in ended] == [("succeeded", None)] * len(created)
    arguments = {"messages": [{"role": "user", "content": "order 3 qty 4"}], "max_tokens": 4}
    for job in ended:
        assert job.fine_tuned_model
        assert job.fine_tuned_model.startswith(f"ft:{BASE}:tunery::")
        answer = client.chat.completions.create(model=job.fine_tuned_model, **arguments)
        assert answer.model == job.fine_tuned_model
        assert answer.usage
        assert answer.usage.completion_tokens > 0


def _upload(client: OpenAI, content: bytes) -> str:
    return client.files.create(file=("train.jsonl", content), purpose="fine-tune").id


def _preferences(count: int) -> bytes:
    """Preference pairs of one turn, in which a full sentence is preferred to a shrug."""

    def assistant(text: str) -> list[dict[str, str]]:
        return [{"role": "assistant", "content": text}]

    lines = [
        {
            "input": {"messages": [{"role": "user", "content": f"order {number}"}]},
            "preferred_output": assistant(f"Order {number} is on its way."),
            "non_preferred_output": assistant("Who knows."),
        }
        for number in range(count)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()
