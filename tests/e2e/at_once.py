"""Starts many jobs at once on a fresh server, where they import, load and compile everything for the first
time. Other tests use the results."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob

from tests.e2e import improvement, lifecycle
from tests.e2e.lifecycle import wait
from tests.e2e.server import BASE, jsonl

HYPERPARAMETERS: dict[str, Any] = {"n_epochs": 1, "batch_size": 4}
ELASTIC = {"min": 1, "max": 2}
"""A job that trains with as many workers as are free when it starts, and may get another number of them."""
SUPERVISED = {"type": "supervised", "supervised": {"hyperparameters": HYPERPARAMETERS}}

Jobs = dict[str, FineTuningJob]


def run_at_once(client: OpenAI) -> Jobs:
    """Creates one job of each kind at the same moment. Returns the ended jobs by name."""
    chats = _upload(client, jsonl(12))
    # The built-in general set would take longer than such a small job.
    measured_on = {"general_file": chats}
    kinds: dict[str, dict[str, Any]] = {
        "lifecycle": lifecycle.request(client),
        # OpenAI's older field for hyperparameters, from before `method`.
        "full": {
            "training_file": chats,
            "hyperparameters": HYPERPARAMETERS,
            "extra_body": {"training": {"type": "full", "num_workers": ELASTIC, **measured_on}},
        },
        "qlora": {
            "training_file": _upload(client, jsonl(40)),
            "method": SUPERVISED,
            "suffix": "client",
            "extra_body": {"training": {"type": "qlora", **measured_on}},
        },
        **improvement.requests(client),
    }
    together = Barrier(len(kinds))

    def create(kind: dict[str, Any]) -> FineTuningJob:
        together.wait(300)
        return client.fine_tuning.jobs.create(**{"model": BASE, **kind})

    with ThreadPoolExecutor(together.parties) as pool:
        created = list(pool.map(create, kinds.values()))
    lifecycle.check_created(created[0])
    newest = [one.id for one in client.fine_tuning.jobs.list(limit=len(kinds)).data]
    assert sorted(newest) == sorted(job.id for job in created)
    return {name: wait(client, job.id, seconds=900) for name, job in zip(kinds, created, strict=True)}


def check_at_once(client: OpenAI, jobs: Jobs) -> None:
    """Checks that all jobs succeeded except the one that was to be refused, and that their models answer."""
    assert len(jobs) == 6
    ended = {name: (job.status, job.error) for name, job in jobs.items() if name != improvement.REFUSED}
    assert ended == dict.fromkeys(ended, ("succeeded", None))
    workers: Any = jobs["full"].to_dict()["tunery"]
    assert {name: workers["workers"][name] for name in ELASTIC} == ELASTIC
    arguments = {"messages": [{"role": "user", "content": "order 3 qty 4"}], "max_tokens": 4}
    for name in ("lifecycle", "full", "qlora"):
        model = jobs[name].fine_tuned_model
        assert model
        assert model.startswith(f"ft:{BASE}:tunery:")
        answer = client.chat.completions.create(model=model, **arguments)
        assert answer.model == model
        assert answer.usage
        assert answer.usage.completion_tokens > 0


def _upload(client: OpenAI, content: bytes) -> str:
    return client.files.create(file=("train.jsonl", content), purpose="fine-tune").id
