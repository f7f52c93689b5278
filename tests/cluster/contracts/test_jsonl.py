import io
import json
import random
import tracemalloc

import pytest

from cluster.contracts.errors import InvalidDataset
from cluster.contracts.jsonl import check_jsonl, parse_row, read_rows
from cluster.contracts.rows import (
    AssistantMessage,
    ChatRow,
    ClassificationRow,
    CompletionRow,
    PreferenceRow,
    TokenClassificationRow,
    ToolMessage,
)

USER, ASSISTANT = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}


def lines(*rows: object) -> io.BytesIO:
    return io.BytesIO("".join(json.dumps(row) + "\n" for row in rows).encode())


@pytest.mark.parametrize(
    ("message", "expected", "param"),
    [
        (
            {"role": "bot", "content": "x"},
            'messages[1].role is "bot"; allowed: system, developer, user, assistant, tool.',
            "messages[1].role",
        ),
        (
            {"role": "user", "content": 5},
            "messages[1].content is 5; it should be a valid string.",
            "messages[1].content",
        ),
        ({**ASSISTANT, "weight": 2}, "messages[1].weight is 2; it should be 0 or 1.", "messages[1].weight"),
        ({"role": "assistant"}, "messages[1] has neither content nor tool_calls.", "messages[1]"),
    ],
)
def test_a_problem_names_the_line_the_place_the_value_and_the_rule(
    message: dict, expected: str, param: str
) -> None:
    report = check_jsonl(lines({"messages": [USER, ASSISTANT]}, {"messages": [USER, message]}))
    assert [problem.model_dump() for problem in report.problems] == [
        {"line": 2, "code": report.problems[0].code, "message": f"Line 2: {expected}", "param": param}
    ]


NESTED = b'{"prompt": ' + b"[" * 70 + b"]" * 70 + b', "completion": "x"}'
NUL_IN_A_PART = (
    rb'{"messages": [{"role": "user", "content": "a"}, '
    rb'{"role": "assistant", "content": [{"type": "text", "text": "b\u0000"}]}]}'
)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            {"messages": [{"content": "x"}, ASSISTANT]},
            "messages[0].role is missing; allowed: system, developer, user, assistant, tool.",
        ),
        (
            {"messages": [USER, ASSISTANT | {"name": 5}]},
            "messages[1].name is 5; it should be a valid string.",
        ),
        ({"messages": [USER, ASSISTANT | {"colour": 1}]}, "messages[1].colour is not an allowed key."),
        ({"messages": []}, "messages is []; it should have at least 1 item."),
        ({"prompt": "a"}, "completion is missing."),
        ({"input": {"messages": [USER]}}, "preferred_output is missing."),
        ({"preferred_output": [ASSISTANT]}, "input is missing."),
        ({"non_preferred_output": [ASSISTANT]}, "input is missing."),
        ({"label": "a"}, "text is missing."),
        (
            {"content": "a"},
            'The line has the keys ["content"]; expected messages (chat), prompt and completion, '
            "input, preferred_output and non_preferred_output (preference), text and label (classification), "
            "or tokens and labels (token classification).",
        ),
        (
            b'{"messages": [}',
            "The line is not JSON: unexpected character, expected a JSON value at column 15.",
        ),
        (NESTED, "The line nests deeper than 64 levels, the most allowed."),
        (NUL_IN_A_PART, r"The line has the character NUL (\u0000) in a string."),
    ],
)
def test_every_message_is_a_sentence_that_says_what_to_change(content: object, expected: str) -> None:
    stream = io.BytesIO(content) if isinstance(content, bytes) else lines(content)
    assert [problem.message for problem in check_jsonl(stream).problems] == [f"Line 1: {expected}"]


def test_a_row_of_another_format_than_the_first_is_refused() -> None:
    report = check_jsonl(lines({"prompt": "a", "completion": "b"}, {"messages": [USER, ASSISTANT]}))
    assert [problem.message for problem in report.problems] == [
        "Line 2: The line is a chat row in a file of completion rows; a file has one format."
    ]
    with pytest.raises(InvalidDataset, match="one format"):
        list(read_rows(lines({"prompt": "a", "completion": "b"}, {"messages": [USER, ASSISTANT]})))


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    report = check_jsonl(io.BytesIO(rb'{"tokens": ["a\\u0000"], "labels": ["x"]}'))
    assert report.problems == []


@pytest.mark.parametrize(("length", "is_cut"), [(76, False), (77, True)])
def test_a_value_of_more_than_eighty_characters_is_cut(length: int, is_cut: bool) -> None:
    """It is shown as written, not escaped."""
    report = check_jsonl(lines({"prompt": ["ä" * length], "completion": "x"}))
    shown = "[" + json.dumps("ä" * length, ensure_ascii=False) + "]"
    shown = shown[:80] + "…" if is_cut else shown
    assert report.problems[0].message == f"Line 1: prompt is {shown}; it should be a valid string."


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "text", "text": "a", "image": "b"}, "has a text part with the key 'image'"),
        ({"type": "text", "text": None}, "has a text part whose text is not a string"),
        ({"type": "image", "text": "a"}, "has a part of type 'image'; only parts of type 'text'"),
    ],
)
def test_a_part_that_cannot_be_learned_is_refused_for_what_it_is(part: dict, expected: str) -> None:
    report = check_jsonl(lines({"messages": [{"role": "user", "content": [part]}, ASSISTANT]}))
    assert expected in report.problems[0].message


@pytest.mark.parametrize(("content", "expected"), [(None, "no"), ("", "no"), ("yes", "yes")])
def test_a_refusal_is_the_content_of_an_answer_that_has_none(content: str | None, expected: str) -> None:
    answer = {"role": "assistant", "refusal": "no", "content": content}
    row = parse_row(json.dumps({"messages": [USER, answer]}).encode())
    assert isinstance(row, ChatRow)
    assert row.messages[1].content == expected


def test_words_and_labels_of_unequal_number_are_counted() -> None:
    report = check_jsonl(lines({"tokens": ["Ada", "sang"], "labels": ["O"]}))
    assert [(p.message, p.param) for p in report.problems] == [
        ("Line 1: The row has 2 tokens and 1 labels; every token needs one label.", None)
    ]


def test_long_values_are_cut_in_messages() -> None:
    report = check_jsonl(lines({"prompt": list(range(100_000)), "completion": "x"}))
    assert len(report.problems[0].message) < 200


def test_a_file_without_examples_is_refused_as_openai_refuses_it() -> None:
    report = check_jsonl(io.BytesIO(b"\n"))
    assert report.model_dump() == {
        "format": None,
        "n_examples": 0,
        "problems": [
            {
                "line": 0,
                "code": "invalid_n_examples",
                "message": "File has 0 example(s), but must have at least 1 example",
                "param": "file",
            }
        ],
        "n_problems": 1,
    }


@pytest.mark.parametrize("n_examples", [1, 7])
def test_one_example_is_enough_for_a_file(n_examples: int) -> None:
    report = check_jsonl(lines(*[{"prompt": "a", "completion": "b"}] * n_examples))
    assert report.model_dump() == {
        "format": "completion",
        "n_examples": n_examples,
        "problems": [],
        "n_problems": 0,
    }


def test_problems_beyond_the_first_hundred_are_counted() -> None:
    report = check_jsonl(io.BytesIO(b"{\n" * 250))
    assert len(report.problems) == 100
    assert report.n_problems == 250


class Rows(io.RawIOBase):
    """`n` valid rows, made as they are read."""

    def __init__(self, n: int) -> None:
        self._left, self._line = n, json.dumps({"messages": [USER, ASSISTANT]}).encode() + b"\n"

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        n = min(self._left, len(buffer) // len(self._line))
        self._left -= n
        buffer[: n * len(self._line)] = self._line * n
        return n * len(self._line)


def test_memory_does_not_grow_with_the_file() -> None:
    check_jsonl(io.BufferedReader(Rows(100)))
    tracemalloc.start()
    try:
        report = check_jsonl(io.BufferedReader(Rows(20_000)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.n_examples == 20_000
    assert peak < 2 << 20


VALUES = [None, True, 0, 1.5, -1e308, "", "user", "tool", "\ud83c\udf89", [], {}, [[]], {"role": "user"}]
SEEDS = [
    {"messages": [USER, ASSISTANT], "tools": [{"type": "function", "function": {"name": "f"}}]},
    {
        "messages": [
            USER,
            {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": [{"type": "text", "text": "4"}]},
        ],
        "functions": [{"name": "f"}],
    },
    {"prompt": "a", "completion": "b"},
    {"input": {"messages": [USER]}, "preferred_output": [ASSISTANT], "non_preferred_output": [ASSISTANT]},
    {"text": "a", "text_pair": "b", "label": "c"},
    {"tokens": ["a", "b"], "labels": ["c", "d"]},
]


def spoiled(value: object, chance: random.Random) -> object:
    """Returns the value with some of its parts replaced, dropped or renamed."""
    if chance.random() < 0.1:
        return chance.choice(VALUES)
    if isinstance(value, list):
        return [spoiled(item, chance) for item in value if chance.random() < 0.95]
    if isinstance(value, dict):
        return {
            key if chance.random() < 0.97 else chance.choice(["role", "content", "weight", "x"]): spoiled(
                item, chance
            )
            for key, item in value.items()
            if chance.random() < 0.95
        }
    return value


def test_any_bytes_get_a_verdict_and_never_an_exception() -> None:
    chance = random.Random(5)
    seen = set()
    for _ in range(3000):
        line = bytearray(json.dumps(spoiled(chance.choice(SEEDS), chance)).encode())
        for _ in range(chance.choice([0, 0, 1, 3])):
            line[chance.randrange(len(line))] = chance.choice(b'\x00\xff"{}[],:\\\n')
        report = check_jsonl(io.BytesIO(bytes(line)))
        seen |= {problem.code for problem in report.problems}
        # What is reported can be stored and sent.
        report.model_dump_json().encode()
    assert seen >= {"invalid_json", "invalid_encoding", "not_an_object", "unknown_format", "unknown_role"}
    assert seen >= {"missing_content", "invalid_value", "unknown_key", "empty_assistant", "nothing_to_learn"}


def test_text_parts_and_older_forms_are_normalized() -> None:
    row = parse_row(
        json.dumps(
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
                    },
                    {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
                    {"role": "function", "name": "f", "content": "4"},
                    ASSISTANT,
                ],
                "functions": [{"name": "f"}],
            }
        ).encode()
    )
    assert isinstance(row, ChatRow)
    user, calling, result, answer = row.messages
    assert user.content == "ab"
    assert isinstance(calling, AssistantMessage)
    assert isinstance(result, ToolMessage)
    assert calling.tool_calls[0].function.name == "f"
    assert result.tool_call_id == calling.tool_calls[0].id
    assert answer.weight == 1
    assert row.tools[0].function.name == "f"


def test_row_is_of_the_type_that_its_keys_name() -> None:
    assert isinstance(parse_row(b'{"prompt": "a", "completion": "b"}'), CompletionRow)
    assert isinstance(parse_row(b'{"text": "a", "label": "b"}'), ClassificationRow)
    assert isinstance(parse_row(b'{"tokens": ["a"], "labels": ["b"]}'), TokenClassificationRow)
    row = parse_row(
        json.dumps(
            {
                "input": {"messages": [USER]},
                "preferred_completion": [ASSISTANT],
                "non_preferred_completion": [ASSISTANT],
            }
        ).encode()
    )
    assert isinstance(row, PreferenceRow)
    assert row.preferred_output[0].content == "ho"


def test_assistant_is_learned_unless_its_weight_is_0_or_it_is_empty() -> None:
    def learned(**more: object) -> bool:
        return AssistantMessage.model_validate({"role": "assistant", "content": "x", **more}).is_learned

    assert learned()
    assert learned(weight=1)
    assert not learned(weight=0)
    assert not learned(content="")


def test_read_rows_counts_lines_and_stops_at_the_first_problem() -> None:
    rows = read_rows(
        io.BytesIO(b'\xef\xbb\xbf{"prompt": "a", "completion": "b"}\r\n{"prompt": 1, "completion": "b"}\n')
    )
    assert next(rows)[0] == 1
    with pytest.raises(
        InvalidDataset, match=r"^Line 2: prompt is 1; it should be a valid string\.$"
    ) as caught:
        next(rows)
    assert (caught.value.code, caught.value.param) == ("invalid_value", "prompt")
