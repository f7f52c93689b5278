"""What the over-length policy did is told to the job's owner."""

from collections.abc import Callable
from typing import Any

from cluster.contracts.jobs import JobSpec, RunnerMessage
from cluster.storage.local import LocalStore
from tests.cluster.training.recording import record

Rows = list[dict[str, Any]]


def chat(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


LONG_ANSWER = chat("hi", "x" * 300)
LONG_QUESTION = chat("x" * 300, "hi")


def test_the_policy_is_told_to_the_owner_with_line_numbers(
    make_spec: Callable[..., JobSpec], store: LocalStore, put_rows: Callable[[str, Rows], tuple[str, str]]
) -> None:
    rows = [chat("hi", "ok")] * 4 + [LONG_ANSWER, LONG_QUESTION]
    key, sha256 = put_rows("file-long", rows)
    spec = make_spec({"training_key": key, "training_sha256": sha256}, on_overlength="truncate", n_epochs=1)
    told = [event.message for event in record(spec, store).events if isinstance(event, RunnerMessage)]
    assert told == [
        "Dropped 1 example(s) of the training file that are longer than the model's context; line(s): 6",
        "Truncated 1 example(s) of the training file that are longer than the model's context; line(s): 5",
    ]
