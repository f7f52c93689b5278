"""`tunery data convert`: every format that it knows becomes rows that the server accepts."""

import csv
import gzip
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from typer.testing import CliRunner, Result

from cluster.contracts.jsonl import check_jsonl
from service.cli.failures import CommandFailed
from service.cli.files.conversion.records import read_records
from service.cli.main import app

USER = {"role": "user", "content": "Is 7 paid?"}
YES = {"role": "assistant", "content": "Yes."}
NO = {"role": "assistant", "content": "Ask them."}
SYSTEM = {"role": "system", "content": "Be brief."}
CHAT = {"messages": [USER, YES]}
PAIR = {"input": {"messages": [USER]}, "preferred_output": [YES], "non_preferred_output": [NO]}
DIALOGUE = "\n\nHuman: Is 7 paid?\n\nAssistant: "


def convert(path: Path, *options: object) -> Result:
    return CliRunner().invoke(app, ["data", "convert", str(path), *map(str, options)])


def rows(path: Path) -> list[Any]:
    with path.open("rb") as stream:
        assert check_jsonl(stream).problems == []
    return [json.loads(line) for line in path.read_text().splitlines()]


def converted(folder: Path, *records: object) -> list[Any]:
    path = folder / "given.jsonl"
    path.write_text("\n".join(json.dumps(record) for record in records))
    result = convert(path)
    assert result.exit_code == 0, result.output
    return rows(folder / "given.converted.jsonl")


@pytest.mark.parametrize(
    ("record", "row"),
    [
        (
            {"conversations": [{"from": "human", "value": "Is 7 paid?"}, {"from": "gpt", "value": "Yes."}]},
            CHAT,
        ),
        (
            {
                "system": "Be brief.",
                "conversation": [{"role": "User", "text": "Is 7 paid?"}, {"role": "model", "text": "Yes."}],
                "tools": "",
            },
            {"messages": [SYSTEM, USER, YES]},
        ),
        (
            {
                "conversations": [{"from": "human", "value": "Is 7 paid?"}],
                "chosen": {"from": "gpt", "value": "Yes."},
                "rejected": {"from": "gpt", "value": "Ask them."},
            },
            PAIR,
        ),
        ({"instruction": "Is 7 paid?", "input": "", "output": "Yes."}, CHAT),
        (
            {
                "instruction": "Is 7 paid?", "context": "A ledger.", "response": "Yes.", "category": "qa",
                "history": [["Hi", "Hello"]],
            },
            {
                "messages": [
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": "Hello"},
                    {"role": "user", "content": "Is 7 paid?\n\nA ledger."},
                    YES,
                ]
            },
        ),
        ({"prompt": "Is 7 paid?", "completion": " Yes."}, CHAT),
        ({"prompt": [USER], "completion": [YES]}, CHAT),
        ({"prompt": "Is 7 paid?", "response": "Yes."}, CHAT),
        ({"question": "Is 7 paid?", "answer": "Yes."}, CHAT),
        ({"question": "Is 7 paid?", "answers": {"text": ["Yes."], "answer_start": [3]}}, CHAT),
        ({"prompt": "Is 7 paid?", "chosen": "Yes.", "rejected": "Ask them."}, PAIR),
        ({"prompt": [USER], "chosen": [YES], "rejected": [NO]}, PAIR),
        ({"chosen": [USER, YES], "rejected": [USER, NO], "score": 0.5}, PAIR),
        ({"prompt": "Is 7 paid?", "chosen": [USER, YES], "rejected": [USER, NO]}, PAIR),
        ({"chosen": f"{DIALOGUE}Yes.", "rejected": f"{DIALOGUE}Ask them."}, PAIR),
        ({"prompt": DIALOGUE, "chosen": "Yes.", "rejected": "Ask them."}, PAIR),
        (
            {"system": "Be brief.", "question": "Is 7 paid?", "chosen": "Yes.", "rejected": "Ask them."},
            PAIR | {"input": {"messages": [SYSTEM, USER]}},
        ),
        (PAIR, PAIR),
        ({"messages": [USER, YES], "prompt_id": "x", "source": None}, CHAT),
        (
            {
                "contents": [
                    {"role": "user", "parts": [{"text": "Is 7 "}, {"text": "paid?"}]},
                    {"role": "model", "parts": [{"text": "Yes."}]},
                ],
                "systemInstruction": {"parts": [{"text": "Be brief."}]},
            },
            {"messages": [SYSTEM, USER, YES]},
        ),
        ({"text": "Once upon a time."}, {"prompt": "", "completion": "Once upon a time."}),
        ({"text": f"{DIALOGUE}Yes."}, CHAT),
        ({"text": "Fine", "label": 1}, {"text": "Fine", "label": "1"}),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_records_of_other_formats_become_openais(tmp_path: Path, record: dict, row: dict) -> None:
    assert converted(tmp_path, record) == [row]


def test_function_calls_of_sharegpt_become_tool_calls(tmp_path: Path) -> None:
    tool = {"type": "function", "function": {"name": "paid", "parameters": {"type": "object"}}}
    (row,) = converted(
        tmp_path,
        {
            "conversations": [
                {"from": "human", "value": "Is 7 paid?"},
                {"from": "function_call", "value": '{"name": "paid", "arguments": {"order": 7}}'},
                {"from": "observation", "value": "true"},
                {"from": "gpt", "value": "Yes."},
            ],
            "tools": json.dumps([tool]),
        },
    )
    call = row["messages"][1]["tool_calls"][0]
    assert (call["function"], row["messages"][2]["tool_call_id"]) == (
        {"name": "paid", "arguments": '{"order": 7}'}, call["id"],
    )  # fmt: skip
    assert row["tools"] == [tool]


FUNCTION = {"name": "paid", "arguments": {"order": 7}}
CALLED = {"name": "paid", "arguments": '{"order": 7}'}
OTHER = {"name": "sent", "arguments": {}}
RESULT = {"role": "tool", "content": "true"}


@pytest.mark.parametrize(
    "call",
    [
        {"tool_calls": [{"type": "function", "function": FUNCTION}], "content": None},
        {"tool_calls": [FUNCTION], "content": ""},
        {"tool_calls": [{"id": "c7", "type": "function", "function": CALLED, "index": 0}]},
        {"tool_calls": None, "function_call": FUNCTION},
        {"tool_calls": json.dumps([{"function": CALLED}])},
    ],
)
def test_calls_without_ids_are_linked_to_their_results(tmp_path: Path, call: dict) -> None:
    (row,) = converted(
        tmp_path, {"messages": [USER, {"role": "assistant", **call}, {**RESULT, "name": "paid"}, YES]}
    )
    (found,) = row["messages"][1]["tool_calls"]
    assert (found["type"], found["function"]) == ("function", CALLED)
    assert row["messages"][2]["tool_call_id"] == found["id"]


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (("paid", "sent"), (0, 1)),
        (("sent", "paid"), (1, 0)),
        ((None, None), (0, 1)),
        (("sent",), (1,)),
        ((None,), None),
        (("paid", "paid"), None),
        ((None, None, None), None),
    ],
)
def test_results_of_several_calls_are_linked_only_where_one_way_is_possible(
    tmp_path: Path, names: tuple[str | None, ...], order: tuple[int, ...] | None
) -> None:
    calls = [{"type": "function", "function": one} for one in (FUNCTION, OTHER)]
    results = [{**RESULT, **({"name": name} if name else {})} for name in names]
    record = {"messages": [USER, {"role": "assistant", "tool_calls": calls}, *results, YES]}
    if order is None:
        path = tmp_path / "given.jsonl"
        path.write_text(json.dumps(record))
        assert "missing_tool_call_id" in convert(path).stderr
        return
    (row,) = converted(tmp_path, record)
    ids = [call["id"] for call in row["messages"][1]["tool_calls"]]
    assert [one["tool_call_id"] for one in row["messages"][2:-1]] == [ids[place] for place in order]


def test_bad_answers_of_unpaired_preferences_are_not_learned(tmp_path: Path) -> None:
    path = tmp_path / "given.jsonl"
    records = [
        {"prompt": "Is 7 paid?", "completion": "Yes.", "label": True},
        {"prompt": "Is 7 paid?", "completion": "Ask somebody else.", "label": False},
        {"prompt": [USER], "completion": [{**YES, "content": "No idea."}], "label": False},
    ]
    path.write_text("\n".join(map(json.dumps, records)))
    refused = convert(path)
    assert refused.exit_code == 1
    assert f"{path}:2:1 error not_convertible The record has an answer with the label false" in refused.stderr
    assert json.loads(convert(path, "--skip", "--json").stdout)["left_out"] == [2, 3]
    assert rows(tmp_path / "given.converted.jsonl") == [CHAT]


@pytest.mark.parametrize("write", [json.dumps, repr])
def test_cells_that_hold_lists_of_messages_are_read(tmp_path: Path, write: Callable[[object], str]) -> None:
    path = tmp_path / "given.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["chosen", "rejected"])
        writer.writerow([write([USER, YES]), write([USER, {**YES, "content": "No."}])])
    assert convert(path).exit_code == 0
    assert rows(tmp_path / "given.converted.jsonl") == [
        {
            "input": {"messages": [USER]},
            "preferred_output": [YES],
            "non_preferred_output": [{**YES, "content": "No."}],
        }
    ]


def test_lists_of_messages_that_cannot_be_read_are_refused_and_other_lists_are_texts(tmp_path: Path) -> None:
    path = tmp_path / "given.jsonl"
    path.write_text(json.dumps({"prompt": "Hi", "completion": f"[{USER}\n {YES}]"}))
    assert "neither JSON nor Python" in convert(path).stderr
    roles = json.dumps([{"role": "admin", "value": 1}])
    (row,) = converted(tmp_path, {"prompt": "Who may delete?", "completion": roles})
    assert row["messages"][1]["content"] == roles


def test_reasoning_is_kept(tmp_path: Path) -> None:
    (row,) = converted(tmp_path, {"messages": [USER, {**YES, "reasoning": "It is in the list."}]})
    assert row["messages"][1]["reasoning"] == "It is in the list."


@pytest.mark.parametrize(
    ("roles", "problem"),
    [
        (("gpt", "human"), 'begins with the role "gpt", which answers, and ends with "human"'),
        (("system", "gpt", "human", "gpt", "human"), "its roles are reversed"),
        (("human", "gpt", "human"), None),
        (("gpt", "human", "gpt"), None),
    ],
)
def test_exchanged_roles_are_refused_with_their_line(
    tmp_path: Path, roles: tuple[str, ...], problem: str | None
) -> None:
    path = tmp_path / "given.jsonl"
    turns = [{"from": role, "value": "Is 7 paid?"} for role in roles]
    path.write_text(f"\n{json.dumps({'conversations': turns})}\n")
    done = convert(path)
    assert done.exit_code == (0 if problem is None else 1), done.stderr
    if problem:
        assert f"{path}:2:1 error not_convertible The record" in done.stderr
        assert problem in done.stderr


@pytest.mark.parametrize(
    "ending", ["json", "csv", "tsv", "semicolons.csv", "jsonl.gz", "parquet", "viewer.json", "saved"]
)
def test_every_kind_of_file_is_read(tmp_path: Path, ending: str) -> None:
    records = [{"question": f'Is "{n}", paid?', "answer": "Yes,\nit is."} for n in range(3)]
    path = tmp_path / f"given.{ending}"
    if ending == "json":
        path.write_text("\ufeff" + json.dumps(records, indent=2))
    elif ending == "viewer.json":
        path.write_text(json.dumps({"features": [], "rows": [{"row_idx": 0, "row": row} for row in records]}))
    elif ending == "jsonl.gz":
        path.write_bytes(gzip.compress("\n".join(map(json.dumps, records)).encode()))
    elif ending in ("parquet", "saved"):
        table = datasets.Dataset.from_list(records)
        table.to_parquet(path) if ending == "parquet" else table.save_to_disk(path)
    else:
        delimiter = {"csv": ",", "tsv": "\t"}.get(ending, ";")
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["question", "answer"], delimiter=delimiter)
            writer.writeheader()
            writer.writerows(records)
    result = convert(path, "--system", "Be brief.", "--output", tmp_path / "new.jsonl")
    assert result.exit_code == 0, result.output
    assert [row["messages"] for row in rows(tmp_path / "new.jsonl")] == [
        [
            SYSTEM,
            {"role": "user", "content": row["question"]},
            {"role": "assistant", "content": row["answer"]},
        ]
        for row in records
    ]


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "given.csv"
    path.write_text("Frage,Antwort\nIs 7 paid?,Yes.\n")
    assert "has the keys Frage, Antwort, which no known format has" in convert(path).stderr
    assert convert(path, "--column", "question=Frage", "--column", "answer=Antwort").exit_code == 0
    assert rows(tmp_path / "given.converted.jsonl") == [CHAT]


def test_what_cannot_be_converted_is_listed_and_nothing_is_written_unless_it_is_skipped(
    tmp_path: Path,
) -> None:
    path = tmp_path / "given.jsonl"
    records = [
        CHAT,
        {"messages": [USER]},
        {"x": 1},
        PAIR,
        {"messages": [{"role": "ghost", "content": "boo"}]},
    ]
    path.write_text("\n".join(map(json.dumps, records)))
    refused = convert(path)
    assert refused.exit_code == 1
    assert [line.split(" ")[:3] for line in refused.stderr.splitlines()[:4]] == [
        [f"{path}:2:1", "error", "nothing_to_learn"],
        [f"{path}:3:1", "error", "not_convertible"],
        [f"{path}:4:1", "error", "mixed_formats"],
        [f"{path}:5:1", "error", "not_convertible"],
    ]
    assert [one.name for one in tmp_path.iterdir()] == ["given.jsonl"]
    skipped = convert(path, "--skip", "--json")
    assert json.loads(skipped.stdout) == {
        "file": str(tmp_path / "given.converted.jsonl"), "format": "chat", "rows": 1, "from": {"chat": 1},
        "left_out": [2, 3, 4, 5],
    }  # fmt: skip
    assert convert(path, "--skip").exit_code == 1, "a file that is there is not replaced"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "a,b\n1,2,3\n"),
        ("a.jsonl", "{\n"),
        ("a.json", "[1]"),
        ("a.jsonl", ""),
        ("a.txt", "Hello"),
        ("a.jsonl", '{"messages": ' + "[" * 100_000),
        ("a.jsonl.gz", "\x1f\x8b\n"),
        ("a.parquet", "PAR1"),
        ("a.jsonl", '{"text": "\xe9"}'),
    ],
)
def test_what_is_no_such_file_is_refused_by_name(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode("latin-1"))
    result = convert(path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert str(path) in result.stderr
    assert "Traceback" not in result.output
    assert [one.name for one in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("name", "start", "said"),
    [
        ("rows.jsonl.gz", b'{"prompt": "', "characters in line 1"),
        ("rows.jsonl.gz", b'{"prompt": "a", "completion": "b"}\n{"prompt": "', "characters in line 2"),
        ("rows.csv.gz", b"prompt,completion\na,", "characters in line 2"),
        ("rows.json.gz", b'[{"prompt": "', "one JSON value of more than"),
        ("rows.json.gz", b'{"rows": [{"prompt": "', "one JSON value of more than"),
    ],
)
def test_a_small_file_that_unpacks_to_a_huge_line_does_not_fill_the_memory(
    tmp_path: Path, name: str, start: bytes, said: str
) -> None:
    path = tmp_path / name
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(start)
        for _ in range(256):
            file.write(b"0" * 1024**2)
    tracemalloc.start()
    try:
        with pytest.raises(CommandFailed, match=said):
            list(read_records(path, max_document_characters=2**23))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024**2


def test_a_long_document_and_a_long_line_within_the_limits_are_read(tmp_path: Path) -> None:
    record = {"prompt": "ä" * 500_000, "completion": "b"}
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([record] * 3))
    assert [found.value for found in read_records(path)] == [record] * 3
    lines = tmp_path / "rows.jsonl"
    lines.write_text(f"{json.dumps(record)}\n" * 2)
    assert [found.line for found in read_records(lines)] == [1, 2]
