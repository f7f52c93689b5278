"""From the lines of a file to arrays, token by token: formats, the over-length policy, classes, problems."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.contracts.bases import BaseSpec
from cluster.contracts.hyperparameters import Method, OnOverlength
from cluster.training.data.compiler import Compiled, compile_file
from cluster.training.data.dataset import Dataset
from cluster.training.data.recipe import Recipe
from cluster.training.data.tokenizer import load_tokenizer
from tests.chat_templates import real_tokenizer
from tests.families import make_family

pytestmark = pytest.mark.slow

Rows = list[dict[str, Any]]
Compile = Callable[..., Compiled]


def user(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def chat(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [user(question), assistant(answer)]}


def preference(better: str, worse: str, *messages: dict[str, Any]) -> dict[str, Any]:
    return {
        "input": {"messages": list(messages) or [user("hi")]},
        "preferred_output": [assistant(better)],
        "non_preferred_output": [assistant(worse)],
    }


@pytest.fixture(scope="module", params=["bert", "modernbert"])
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> BaseSpec:
    return make_family(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture
def compiled(tmp_path: Path) -> Compile:
    def compile_rows(
        base: BaseSpec,
        rows: Rows,
        *,
        method: Method = "supervised",
        max_length: int = 64,
        policy: OnOverlength = "error",
        class_names: tuple[str, ...] = (),
    ) -> Compiled:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        recipe = Recipe(base, method, max_length, policy, class_names)
        return compile_file(path, load_tokenizer(base), recipe)

    return compile_rows


def codes(found: Compiled) -> list[tuple[int, str]]:
    return [(problem.line, problem.code) for problem in found.problems]


def learned(base: BaseSpec, data: Dataset) -> list[str]:
    """The learned tokens of every sequence, decoded."""
    tokenizer = load_tokenizer(base)
    return [
        tokenizer.decode(data.token_ids[start:end][data.mask[start:end]])
        for start, end in zip(data.offsets[:-1], data.offsets[1:], strict=True)
    ]


def tokens(base: BaseSpec, data: Dataset, sequence: int) -> list[str]:
    start, end = data.offsets[sequence : sequence + 2]
    return load_tokenizer(base).convert_ids_to_tokens(data.token_ids[start:end].tolist())


def test_chats_and_completions_learn_answers_with_their_ends(base: BaseSpec, compiled: Compile) -> None:
    chats = compiled(base, [chat("hi", "ok"), chat("ho", "well")]).dataset
    assert learned(base, chats) == ["ok<|end|>", "well<|end|>"]
    assert (chats.format, chats.lines.tolist(), chats.class_ids) == ("chat", [1, 2], None)
    completions = compiled(base, [{"prompt": "2 + 2 =", "completion": " 4"}]).dataset
    assert (completions.format, learned(base, completions)) == ("completion", [" 4<|end|>"])


def test_rows_of_several_batches_keep_their_order(base: BaseSpec, compiled: Compile) -> None:
    rows = [{"prompt": f"{number} is", "completion": f" {number}"} for number in range(600)]
    data = compiled(base, rows).dataset
    assert data.lines.tolist() == list(range(1, 601))
    assert learned(base, data)[::299] == [" 0<|end|>", " 299<|end|>", " 598<|end|>"]


def test_a_preference_is_two_sequences_that_learn_only_their_own_answer(
    base: BaseSpec, compiled: Compile
) -> None:
    context = [user("hi"), assistant("an earlier answer"), user("and now?")]
    data = compiled(
        base, [preference("good", "bad one", *context), preference("yes", "no")], method="dpo"
    ).dataset
    assert data.format == "preference"
    assert learned(base, data) == ["good<|end|>", "bad one<|end|>", "yes<|end|>", "no<|end|>"]
    better, worse = tokens(base, data, 0), tokens(base, data, 1)
    prompt = better.index("<|assistant|>", better.index("<|assistant|>") + 1) + 1
    assert better[:prompt] == worse[:prompt]
    assert len(data) == 2
    assert data.lines.tolist() == [1, 2]


def test_a_weight_of_zero_does_not_hide_a_preferred_answer(base: BaseSpec, compiled: Compile) -> None:
    row = preference("good", "bad")
    row["preferred_output"][0]["weight"] = 0
    assert learned(base, compiled(base, [row], method="dpo").dataset) == ["good<|end|>", "bad<|end|>"]


def test_equal_answers_are_a_problem(base: BaseSpec, compiled: Compile) -> None:
    found = compiled(base, [preference("a", "b"), preference("a", "a")], method="dpo")
    assert codes(found) == [(2, "identical_answers")]


LONG = "x" * 100


@pytest.mark.parametrize("pair", [(LONG, "short"), ("short", LONG)])
def test_a_pair_is_too_long_if_either_sequence_is(
    base: BaseSpec, compiled: Compile, pair: tuple[str, str]
) -> None:
    rows = [preference("a", "b"), preference(*pair)]
    assert codes(compiled(base, rows, method="dpo")) == [(2, "too_long")]
    dropped = compiled(base, rows, method="dpo", policy="drop").dataset
    assert (dropped.lines.tolist(), dropped.truncated_lines, dropped.dropped_lines) == ([1], [], [2])
    cut = compiled(base, rows, method="dpo", policy="truncate")
    assert cut.dataset.truncated_lines == [2]
    assert cut.dataset.dropped_lines == []
    assert sorted(np.diff(cut.dataset.offsets)[2:].tolist())[-1] == 64
    assert all(learned(base, cut.dataset))
    assert cut.longest == 106


def test_a_pair_cut_to_where_its_answers_are_the_same_is_dropped(base: BaseSpec, compiled: Compile) -> None:
    rows = [preference("a", "b"), preference(LONG + "a", LONG + "b"), preference("a", "b", user(LONG))]
    data = compiled(base, rows, method="dpo", policy="truncate").dataset
    assert data.dropped_lines == [2, 3]


def test_truncation_leaves_no_sequence_without_labels(
    base: BaseSpec, encoder: BaseSpec, compiled: Compile
) -> None:
    chats = compiled(base, [chat("hi", "ok"), chat(LONG, "ok"), chat("hi", LONG)], policy="truncate").dataset
    assert chats.lines.tolist() == [1, 3]
    words = [{"tokens": ["a"] * 90, "labels": ["x"] * 89 + ["y"]}, {"tokens": ["b"], "labels": ["y"]}]
    sorted_words = compiled(encoder, words, policy="truncate").dataset
    for data in (chats, sorted_words):
        assert np.all(np.add.reduceat(data.mask, data.offsets[:-1]) > 0)


def test_pad_that_is_also_the_end_keeps_the_label_of_the_end(base: BaseSpec, compiled: Compile) -> None:
    tokenizer = load_tokenizer(base)
    pad = tokenizer.pad_token
    try:
        tokenizer.pad_token = tokenizer.eos_token
        rows: list[Rows] = [[chat("hi", "ok")], [{"prompt": "hi", "completion": "ok"}]]
        for data in (compiled(base, some).dataset for some in rows):
            assert data.token_ids[-1] == tokenizer.pad_token_id
            assert data.mask[-1]
    finally:
        tokenizer.pad_token = pad


def test_a_text_carries_its_class_on_the_first_token(encoder: BaseSpec, compiled: Compile) -> None:
    rows = [
        {"text": "refund me", "label": "money"},
        {"text": "hello", "text_pair": "there", "label": "chat"},
        {"text": "pay", "label": "money"},
    ]
    data = compiled(encoder, rows).dataset
    assert data.format == "classification"
    assert data.class_names == ("chat", "money")
    assert tokens(encoder, data, 0)[0] == "[CLS]"
    assert tokens(encoder, data, 0)[-1] == "[SEP]"
    assert tokens(encoder, data, 1).count("[SEP]") == 2
    starts = data.offsets[:-1]
    assert np.flatnonzero(data.mask).tolist() == starts.tolist()
    assert data.class_ids[starts].tolist() == [1, 0, 1]
    assert np.all(data.class_ids[~data.mask] == -1)


def test_a_word_carries_its_class_on_its_first_token(encoder: BaseSpec, compiled: Compile) -> None:
    rows = [{"tokens": ["Zebra", "and", "the", "invoice"], "labels": ["B", "O", "O", "A"]}]
    data = compiled(encoder, rows).dataset
    assert data.class_names == ("A", "B", "O")
    assert data.class_ids[data.mask].tolist() == [1, 2, 2, 0]
    first_tokens = [token for token, kept in zip(tokens(encoder, data, 0), data.mask, strict=True) if kept]
    # The tests' tokenizer is a byte-level one, where a word inside a text begins with its space.
    assert all(token.startswith("Ġ") for token in first_tokens)
    assert len(data.token_ids) > 6


def test_a_word_without_tokens_carries_no_class(encoder: BaseSpec, compiled: Compile) -> None:
    from tokenizers import normalizers

    tokenizer = load_tokenizer(encoder)
    before = tokenizer.backend_tokenizer.normalizer
    try:
        tokenizer.backend_tokenizer.normalizer = normalizers.Replace("~", "")
        tokenizer.backend_tokenizer.pre_tokenizer, kept = None, tokenizer.backend_tokenizer.pre_tokenizer
        data = compiled(encoder, [{"tokens": ["x", "~", "y"], "labels": ["A", "B", "C"]}]).dataset
    finally:
        tokenizer.backend_tokenizer.normalizer, tokenizer.backend_tokenizer.pre_tokenizer = before, kept
    assert data.class_names == ("A", "C")
    assert data.class_ids[data.mask].tolist() == [0, 1]


def test_truncated_texts_and_words_keep_the_last_special_token(encoder: BaseSpec, compiled: Compile) -> None:
    texts = [{"text": "a " * 90, "label": "x"}, {"text": "b", "text_pair": "c " * 90, "label": "y"}]
    words = [{"tokens": ["a"] * 90, "labels": ["x", "y"] * 45}, {"tokens": ["b"], "labels": ["y"]}]
    for rows in (texts, words):
        found = compiled(encoder, rows, policy="truncate")
        data = found.dataset
        assert data.lengths()[0] == 64
        assert tokens(encoder, data, 0)[-1] == "[SEP]"
        assert 1 in data.truncated_lines
        assert found.longest > 64
    assert codes(compiled(encoder, texts)) == [(1, "too_long"), (2, "too_long")]
    # Truncation leaves the shared tokenizer unchanged.
    assert len(load_tokenizer(encoder)("a " * 90)["input_ids"]) > 64


def test_labels_must_be_among_the_known_classes_and_keep_their_numbers(
    encoder: BaseSpec, compiled: Compile
) -> None:
    known = ("z", "a")
    data = compiled(encoder, [{"text": "t", "label": "a"}], class_names=known).dataset
    assert (data.class_names, data.class_ids[0]) == (known, 1)
    texts = compiled(encoder, [{"text": "t", "label": "a"}, {"text": "t", "label": "b"}], class_names=known)
    assert codes(texts) == [(2, "unknown_label")]
    assert texts.problems[0].message == "Line 2: label is 'b'; the known classes are: z, a"
    words = compiled(encoder, [{"tokens": ["t", "u"], "labels": ["a", "b"]}], class_names=known)
    assert words.problems[0].param == "labels[1]"


def test_classes_of_dropped_rows_do_not_count(encoder: BaseSpec, compiled: Compile) -> None:
    rows = [{"text": "a " * 90, "label": "gone"}, {"text": "b", "label": "x"}, {"text": "c", "label": "y"}]
    data = compiled(encoder, rows, policy="drop").dataset
    assert (data.class_names, data.class_ids[data.mask].tolist()) == (("x", "y"), [0, 1])


@pytest.mark.parametrize(
    ("labels", "code"), [(["a"], "too_few_classes"), ([*map(str, range(1001))], "too_many_classes")]
)
def test_a_classifier_needs_a_number_of_classes_that_it_can_learn(
    encoder: BaseSpec, compiled: Compile, labels: list[str], code: str
) -> None:
    assert codes(compiled(encoder, [{"text": "t", "label": label} for label in labels])) == [(0, code)]


TEXT, WORDS = {"text": "t", "label": "a"}, {"tokens": ["t"], "labels": ["a"]}


@pytest.mark.parametrize(
    ("row", "method", "is_encoder", "allowed"),
    [
        (preference("a", "b"), "supervised", False, "a decoder, on chat or completion rows"),
        (chat("a", "b"), "dpo", False, "a decoder, on preference rows"),
        (TEXT, "supervised", False, "a decoder, on chat or completion rows"),
        (chat("a", "b"), "supervised", True, "an encoder, on classification or token_classification rows"),
    ],
)
def test_rows_of_another_method_are_refused_by_name(
    base: BaseSpec,
    encoder: BaseSpec,
    compiled: Compile,
    row: Any,
    method: Any,
    is_encoder: bool,
    allowed: str,
) -> None:
    found = compiled(encoder if is_encoder else base, [row] * 3, method=method)
    assert codes(found) == [(1, "wrong_format")]
    assert f"method '{method}'" in found.problems[0].message
    assert allowed in found.problems[0].message
    assert found.dataset is None


def test_problems_before_a_broken_line_come_first(base: BaseSpec, compiled: Compile) -> None:
    found = compiled(base, [chat("hi", "ok"), chat("hi", LONG), {"messages": [user("x")]}])
    assert codes(found) == [(2, "too_long"), (3, "nothing_to_learn")]
    assert found.format == "chat"


@pytest.mark.parametrize(
    "rows",
    [
        [{"text": "a [SEP] b [CLS]", "label": label} for label in "ab"],
        [{"text": "a [SEP]", "text_pair": "[SEP] b", "label": label} for label in "ab"],
        [{"tokens": ["a", "[SEP]", "[CLS]"], "labels": [label] * 3} for label in "ab"],
    ],
)
def test_control_tokens_in_an_encoders_texts_are_ordinary_text(
    encoder: BaseSpec, compiled: Compile, rows: Rows
) -> None:
    tokenizer = load_tokenizer(encoder)
    data = compiled(encoder, rows).dataset
    token_ids = data.token_ids[: data.offsets[1]].tolist()
    assert token_ids.count(tokenizer.cls_token_id) == 1
    assert token_ids.count(tokenizer.sep_token_id) == 1 + ("text_pair" in rows[0])


def test_a_chat_is_an_example_for_each_answer_if_the_template_renders_the_last_one_differently(
    base: BaseSpec, tmp_path: Path
) -> None:
    tokenizer = real_tokenizer("qwen3")
    rows = [
        {"messages": [user("hi"), assistant("yes"), user("hi"), assistant("no")]},
        {"messages": [user("hi"), {**assistant("yes"), "weight": 0}, user("hi"), assistant("no")]},
        {"messages": [user("hi"), assistant("yes"), user("why " * 99), assistant("no")]},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def data(max_length: int, policy: OnOverlength) -> Dataset:
        found = compile_file(path, tokenizer, Recipe(base, "supervised", max_length, policy)).dataset
        assert found is not None
        return found

    whole = data(1000, "error")
    assert whole.lines.tolist() == [1, 1, 2, 3, 3]
    assert len(whole.offsets) == 1 + len(whole)
    assert len(whole.mask) == len(whole.token_ids) == whole.offsets[-1]
    for start, end in pairwise(whole.offsets):
        assert whole.mask[start:end].any()
    answers = [tokenizer.decode(whole.token_ids[start:end]) for start, end in pairwise(whole.offsets)]
    assert answers[1] == answers[2]
    assert answers[0].endswith("</think>\n\nyes<|im_end|>\n")
    cut = data(100, "truncate")
    assert cut.lines.tolist() == [1, 1, 2, 3], "an answer that is cut off whole is left out"
    assert (cut.truncated_lines, cut.dropped_lines) == ([], [3])
    dropped = data(100, "drop")
    assert dropped.lines.tolist() == [1, 1, 2, 3], "the answer that is not too long stays"
    assert (dropped.truncated_lines, dropped.dropped_lines) == ([], [3])
