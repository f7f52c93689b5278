"""A preview shows the rows as training sees them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import InvalidDataset, InvalidRequest
from cluster.contracts.previews import Preview, PreviewRequest
from cluster.storage.local import LocalStore
from cluster.training.data import preview
from cluster.training.data.batches import collate
from cluster.training.data.compiled import compiled_dataset
from cluster.training.data.dataset import Dataset
from cluster.training.data.preview import preview_rows
from tests.cluster.training.data.test_template import FORGETS_EARLIER_ANSWERS
from tests.tiny_base import make_tiny_base

pytestmark = pytest.mark.slow

Rows = list[dict[str, Any]]
Both = Callable[..., tuple[Preview, Dataset]]

_SYSTEM = {"role": "system", "content": "Answer in one word."}


def chat(question: str, answer: str, **more: Any) -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer, **more}]
    }


CHATS = [
    chat("naïve → 𝄞?", "yes 𝄞"),
    {"messages": [_SYSTEM, *chat("a", "b", weight=0)["messages"], *chat("c", "d")["messages"]]},
    chat("hi", "x" * 400),
]
PAIRS = [
    {
        "input": {"messages": [{"role": "user", "content": "hi"}]},
        "preferred_output": [{"role": "assistant", "content": "hello " * length}],
        "non_preferred_output": [{"role": "assistant", "content": "no"}],
    }
    for length in (1, 200)
]
COMPLETIONS = [{"prompt": "order 1", "completion": " two"}, {"prompt": "", "completion": "x" * 400}]
TEXTS = [{"text": "late " * number, "label": "zb"[number % 2]} for number in (1, 2, 300)]
WORDS = [{"tokens": ["Ada", "was", "here"], "labels": ["name", "none", "none"]}]


@pytest.fixture
def both(base: BaseSpec, store: LocalStore, put_rows: Callable[..., Any], tmp_path: Path) -> Both:
    """Previews rows, and compiles them for training."""

    def both(rows: Rows, *, is_encoder: bool = False, **more: Any) -> tuple[Preview, Dataset]:
        spec = base.model_copy(update={"architecture": "encoder"}) if is_encoder else base
        key, sha256 = put_rows("file-rows", rows)
        options: dict[str, Any] = {"method": "supervised", "on_overlength": "truncate", **more}
        shown = preview_rows(PreviewRequest(base=spec, key=key, n_rows=len(rows), **options), store)
        dataset = compiled_dataset(
            store,
            spec,
            key=key,
            sha256=sha256,
            method=options["method"],
            max_length=spec.context_length,
            policy=options["on_overlength"],
            folder=tmp_path,
        )
        return shown, dataset

    return both


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        (CHATS, {}),
        (COMPLETIONS, {}),
        (PAIRS, {"method": "dpo"}),
        (TEXTS, {"is_encoder": True}),
        (WORDS * 2 + [{"tokens": ["x"], "labels": ["other"]}], {"is_encoder": True}),
    ],
    ids=["chats", "completions", "preferences", "classified texts", "classified words"],
)
def test_learned_tokens_are_the_labels_that_the_trainer_uses(both: Both, rows: Rows, options: Any) -> None:
    shown, dataset = both(rows, **options)
    sequences = [sequence.tokens for row in shown.rows for sequence in row.sequences]
    assert len(sequences) == len(dataset.offsets) - 1
    for number, tokens in enumerate(sequences):
        batch = collate(dataset, np.array([number]), "padded")
        labels = batch.targets.tolist()
        learned = [token for token in tokens if token.learned]
        assert learned
        if dataset.class_ids is None:
            assert [token.id for token in learned] == labels
            # The trainer predicts each label from the token before it.
            places = [place for place, token in enumerate(tokens) if token.learned]
            assert [place - 1 for place in places] == batch.positions.tolist()
            assert [token.id for token in tokens[:-1]] == batch.token_ids[0].tolist()
        else:
            start, end = dataset.offsets[number : number + 2]
            assert [token.id for token in tokens] == dataset.token_ids[start:end].tolist()
            assert [token.label for token in learned] == [
                dataset.class_names[number]
                for number in dataset.class_ids[start:end][dataset.mask[start:end]]
            ]


def test_tokens_are_shown_with_their_bytes_and_unlearned_answers_as_such(both: Both) -> None:
    shown, _ = both(CHATS)
    first, second, _ = shown.rows
    (sequence,) = first.sequences
    text = b"".join(bytes(token.bytes) for token in sequence.tokens).decode()
    assert "naïve → 𝄞?" in text
    assert any(token.token.startswith("bytes:") for token in sequence.tokens)
    learned = [bytes(token.bytes) for token in second.sequences[0].tokens if token.learned]
    assert b"".join(learned).startswith(b"d")


def test_each_policy_shows_what_becomes_of_a_long_row(
    base: BaseSpec, store: LocalStore, put_rows: Callable[..., Any]
) -> None:
    key, _ = put_rows("file-rows", CHATS)

    def last(policy: Any) -> Any:
        request = PreviewRequest(base=base, key=key, on_overlength=policy, lines=[3])
        (row,) = preview_rows(request, store).rows
        return row

    limit = base.context_length
    for policy, outcome in (("truncate", "truncated"), ("drop", "dropped"), ("error", "error")):
        row = last(policy)
        assert (row.line, row.outcome, row.truncated_at) == (3, outcome, limit)
        assert row.full_length > limit == len(row.sequences[0].tokens)
        assert (row.problem is not None) == (policy == "error")
    assert last("error").problem.code == "too_long"


def test_of_several_examples_of_a_row_those_that_are_trained_on_are_shown(
    store: LocalStore, put_rows: Callable[..., Any], tmp_path: Path
) -> None:
    base = make_tiny_base(tmp_path / "other", chat_template=FORGETS_EARLIER_ANSWERS)
    row = {"messages": [*chat("hi", "yes")["messages"], *chat("x" * 400, "no")["messages"]]}
    key, _ = put_rows("file-rows", [row])
    (shown,) = preview_rows(PreviewRequest(base=base, key=key, on_overlength="drop"), store).rows
    assert (shown.outcome, shown.problem, len(shown.sequences)) == ("truncated", None, 1)
    assert shown.full_length is not None
    assert shown.full_length > base.context_length
    assert b"yes" in b"".join(bytes(token.bytes) for token in shown.sequences[0].tokens if token.learned)


def test_chosen_lines_are_shown_in_the_order_of_the_file(
    base: BaseSpec, store: LocalStore, put_rows: Callable[..., Any]
) -> None:
    key, _ = put_rows("file-rows", [chat("hi", f"answer {number}") for number in range(600)])
    shown = preview_rows(PreviewRequest(base=base, key=key, lines=[560, 2]), store)
    assert [row.line for row in shown.rows] == [2, 560]
    assert not shown.has_more
    with pytest.raises(InvalidRequest, match="no row on line 601") as refused:
        preview_rows(PreviewRequest(base=base, key=key, lines=[1, 601]), store)
    assert refused.value.param == "lines"


def test_a_row_that_cannot_be_rendered_shows_its_problem_and_others_are_shown(
    base: BaseSpec, store: LocalStore, put_rows: Callable[..., Any]
) -> None:
    same = {**PAIRS[0], "non_preferred_output": PAIRS[0]["preferred_output"]}
    key, _ = put_rows("file-rows", [same, PAIRS[0]])
    first, second = preview_rows(PreviewRequest(base=base, key=key, method="dpo"), store).rows
    assert (first.outcome, first.full_length, first.sequences) == ("error", None, [])
    assert first.problem is not None
    assert first.problem.code == "identical_answers"
    assert first.problem.message.startswith("Line 1: ")
    assert second.outcome == "whole"


def test_a_file_of_another_format_is_refused(
    base: BaseSpec, store: LocalStore, put_rows: Callable[..., Any]
) -> None:
    key, _ = put_rows("file-rows", PAIRS)
    with pytest.raises(InvalidDataset) as refused:
        preview_rows(PreviewRequest(base=base, key=key), store)
    assert refused.value.code == "wrong_format"


def test_a_large_answer_ends_after_whole_rows(
    base: BaseSpec, store: LocalStore, put_rows: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "MAX_PREVIEW_TOKENS", 40)
    key, _ = put_rows("file-rows", [chat("hi", "x" * 60), chat("hi", "x")])
    shown = preview_rows(PreviewRequest(base=base, key=key), store)
    assert [row.line for row in shown.rows] == [1]
    assert shown.has_more
