"""Compiling stored files: counts, policies, and problems with their lines."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from cluster.contracts.bases import BaseSpec
from cluster.contracts.datasets import DatasetCheck, DatasetCheckRequest
from cluster.contracts.errors import CorruptArtefact, InvalidDataset
from cluster.contracts.hyperparameters import OnOverlength
from cluster.contracts.jobs import JobSpec, RunnerMessage
from cluster.storage.local import LocalStore
from cluster.training.compiled import check_dataset, compiled_dataset
from tests.cluster.training.recording import record

Rows = list[dict[str, Any]]
Check = Callable[..., DatasetCheck]


def chat(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


LONG_ANSWER = chat("hi", "x" * 300)
LONG_QUESTION = chat("x" * 300, "hi")


@pytest.fixture
def check(base: BaseSpec, store: LocalStore, put_rows: Callable[[str, Rows], tuple[str, str]]) -> Check:
    def check(rows: Rows, on_overlength: OnOverlength = "error") -> DatasetCheck:
        key, sha256 = put_rows("file-check", rows)
        request = DatasetCheckRequest(base=base, key=key, sha256=sha256, on_overlength=on_overlength)
        return check_dataset(request, store)

    return check


def test_counts_are_those_of_the_rendered_examples(check: Check) -> None:
    found = check([chat("hi", "ok!"), chat("hi", "ok")])
    assert (found.n_examples, found.n_tokens, found.n_supervised_tokens, found.longest) == (2, 17, 7, 9)
    assert not found.problems


def test_long_examples_are_problems_with_their_lines_unless_a_policy_allows_them(check: Check) -> None:
    found = check([chat("hi", "ok"), LONG_ANSWER, chat("hi", "ok"), LONG_QUESTION])
    assert [(problem.line, problem.code) for problem in found.problems] == [(2, "too_long"), (4, "too_long")]
    assert "256" in found.problems[0].message


@pytest.mark.parametrize(("policy", "kept"), [("drop", 2), ("truncate", 3)])
def test_policies_are_counted_and_truncation_keeps_no_example_without_labels(
    check: Check, policy: OnOverlength, kept: int
) -> None:
    assert policy in get_args(OnOverlength)
    found = check([chat("hi", "ok"), LONG_ANSWER, chat("hi", "ok"), LONG_QUESTION], policy)
    assert not found.problems
    assert found.n_examples == kept
    assert found.overlength_lines == [2, 4]
    assert found.n_overlength == 2
    assert found.longest == 306


def test_a_file_of_which_nothing_is_left_cannot_be_used(check: Check) -> None:
    found = check([LONG_QUESTION], "truncate")
    assert [(problem.line, problem.code) for problem in found.problems] == [(0, "nothing_to_learn")]


def test_a_broken_line_is_named(check: Check) -> None:
    found = check([chat("hi", "ok"), {"messages": [{"role": "nobody", "content": "x"}]}])
    assert [(problem.line, problem.code) for problem in found.problems] == [(2, "unknown_role")]
    preference = {
        "input": {"messages": [{"role": "user", "content": "hi"}]},
        "preferred_output": [{"role": "assistant", "content": "a"}],
        "non_preferred_output": [{"role": "assistant", "content": "b"}],
    }
    assert [(problem.line, problem.code) for problem in check([preference]).problems] == [(1, "wrong_format")]


def test_other_bytes_than_those_checked_in_are_refused(base: BaseSpec, store: LocalStore) -> None:
    store.put("files/file-other", b"{}")
    with pytest.raises(CorruptArtefact):
        check_dataset(DatasetCheckRequest(base=base, key="files/file-other", sha256="0" * 64), store)


def test_a_check_needs_no_torch_of_its_own() -> None:
    """The dataset compiler serves from a small process: what it imports by itself stays light."""
    import subprocess
    import sys

    code = "import sys, cluster.training.compiled; sys.exit('torch' in sys.modules or 'ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


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


def test_a_run_on_a_bad_file_ends_with_its_line(
    base: BaseSpec, store: LocalStore, put_rows: Callable[[str, Rows], tuple[str, str]], tmp_path: Path
) -> None:
    key, sha256 = put_rows("file-bad", [chat("hi", "ok"), LONG_ANSWER])
    with pytest.raises(InvalidDataset, match="Line 2: 306 tokens"):
        compiled_dataset(
            store,
            base,
            key=key,
            sha256=sha256,
            method="supervised",
            max_length=256,
            policy="error",
            folder=tmp_path,
        )
