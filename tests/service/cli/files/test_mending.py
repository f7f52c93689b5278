"""`tunery data fix` mends what has only one repair, says so, and leaves everything else alone."""

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from cluster.contracts.jsonl import check_jsonl
from service.cli.files.mending import Mended, mended_lines
from service.cli.main import app

GOOD = '{"messages": [{"role": "user", "content": "hi, }"}, {"role": "assistant", "content": "hello"}]}'
ROW = json.loads(GOOD)


def fix(path: Path, *options: object) -> Result:
    return CliRunner().invoke(app, ["data", "fix", str(path), *map(str, options)])


def changed(**message: object) -> str:
    user, answer = ROW["messages"]
    return json.dumps({"messages": [user, {**answer, **message}]})


@pytest.mark.parametrize(
    ("line", "repair"),
    [
        (f"{GOOD},", "left out a needless comma"),
        (GOOD.replace("}]}", "},]}"), "left out a needless comma"),
        (repr(ROW), "wrote a Python dictionary as JSON"),
        (f"{GOOD[:-1]}, {GOOD[1:]}", None),
        (changed(role="gpt"), "wrote a role as OpenAI does"),
        (changed(role=" Assistant"), "wrote a role as OpenAI does"),
        (changed(weight=1.0), "wrote a weight as 0 or 1"),
        (changed(extra=[1]), "left out a key that rows may not have"),
        (changed(content="hel\x00lo"), "left out control characters"),
        (changed(content="hel\x07lo"), "left out control characters"),
        (GOOD[:-1] + ', "id": 7, "source": "x"}', "left out a key that rows may not have"),
    ],
)
def test_each_repair_gives_the_row_that_was_meant(tmp_path: Path, line: str, repair: str | None) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(f"{line}\n")
    result = fix(path, "--json")
    assert result.exit_code == 0, result.output
    (found,) = [json.loads(one) for one in (tmp_path / "data.fixed.jsonl").read_text().splitlines()]
    found["messages"][1].pop("weight", None)
    assert found == ROW
    assert repair is None or json.loads(result.stdout)["repairs"] == {repair: [1]}


def test_calls_get_their_arguments_as_a_string(tmp_path: Path) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": {"a": "é"}}}
    path = tmp_path / "data.jsonl"
    path.write_text(changed(tool_calls=[call]))
    assert fix(path).exit_code == 0
    row = json.loads((tmp_path / "data.fixed.jsonl").read_text())
    assert row["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"a": "é"}'


def test_calls_and_their_results_get_the_ids_that_they_lack(tmp_path: Path) -> None:
    user, answer = ROW["messages"]
    calls = [{"type": "function", "function": {"name": name, "arguments": "{}"}} for name in "fg"]
    results = [{"role": "tool", "name": name, "content": name} for name in "gf"]
    path = tmp_path / "data.jsonl"
    path.write_text(
        json.dumps({"messages": [user, {"role": "assistant", "tool_calls": calls}, *results, answer]})
    )
    done = fix(path, "--json")
    assert json.loads(done.stdout)["repairs"] == {"gave calls and their results the ids that they lack": [1]}
    _, called, *answers, _ = json.loads((tmp_path / "data.fixed.jsonl").read_text())["messages"]
    ids = [call["id"] for call in called["tool_calls"]]
    assert [one["tool_call_id"] for one in answers] == ids[::-1]


def test_any_number_of_unknown_keys_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    more = {f"key_{place}": place for place in range(400)}
    path.write_text(json.dumps({**ROW, **more}) + "\n" + changed(**more))
    assert fix(path).exit_code == 0
    assert [json.loads(one) for one in (tmp_path / "data.fixed.jsonl").read_text().splitlines()] == [ROW, ROW]


@pytest.mark.parametrize(
    "content",
    [
        f"{GOOD}\n\n# a note\n{GOOD} {GOOD}\n",
        f"[{GOOD},\n {GOOD},\n {GOOD}]",
        f"\ufeff{GOOD}\r\n{GOOD}\r\n{GOOD}\r\n",
        f"{GOOD}\r{GOOD}\r{GOOD}",
        f"{GOOD}\n\ufeff{GOOD}\n{GOOD}\n",
    ],
    ids=["lines", "array", "windows", "mac", "joined"],
)
def test_files_of_other_shapes_become_lines(tmp_path: Path, content: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(content.encode())
    assert fix(path).exit_code == 0
    assert (tmp_path / "data.fixed.jsonl").read_text() == f"{GOOD}\n" * 3


def test_utf_16_becomes_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(f"{GOOD}\n{GOOD}\n".encode("utf-16"))
    assert fix(path).exit_code == 0
    assert (tmp_path / "data.fixed.jsonl").read_text() == f"{GOOD}\n" * 2


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["unix", "windows", "mac"])
def test_rows_of_utf_16_end_where_lines_do_and_nowhere_else(tmp_path: Path, end: str) -> None:
    row = GOOD.replace("hello", "one\u2028two\u2029three\x85four")
    path = tmp_path / "data.jsonl"
    path.write_bytes(f"{row}{end}{row}{end}".encode("utf-16"))
    assert fix(path).exit_code == 0
    assert (tmp_path / "data.fixed.jsonl").read_bytes() == f"{row}\n{row}\n".encode()


@pytest.mark.parametrize("torn", [-1, -3], ids=["half a character", "half a pair"])
def test_utf_16_that_is_torn_is_named(tmp_path: Path, torn: int) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(f"{GOOD}\N{GRINNING FACE}".encode("utf-16")[:torn])
    done = fix(path)
    assert (done.exit_code, "begins as UTF-16, but has other bytes at" in done.stderr) == (1, True)
    assert [each.name for each in tmp_path.iterdir()] == ["data.jsonl"]


@pytest.mark.parametrize(
    "line",
    [
        '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}]}',
        '{"messages": [{"role": "user", "content": "a", "content": "b"}]}',
        '{"messages": [{"role": "ghost", "content": "a"}]}',
        '{"prompt": "a", "completion": NaN}',
        "{'a': __import__('os').getcwd()}",
        '{"messages": [{"role": "user"',
        "[1, 2]",
        '{"messages": ' + "[" * 900 + "]" * 900 + "}",
        '{"messages": ' + "[" * 100_000,
        "{'a': " + "(" * 5000,
    ],
)
def test_what_cannot_be_mended_safely_stays_or_is_dropped_on_request(tmp_path: Path, line: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(f"{GOOD}\n{line}\n{GOOD}\n")
    left = fix(path)
    assert (left.exit_code, "--drop leaves them out. Remove" in left.stderr) == (1, True)
    fixed = tmp_path / "data.fixed.jsonl"
    assert fixed.read_text() == f"{GOOD}\n{line}\n{GOOD}\n"
    assert "error" in left.stderr
    assert fix(path).exit_code == 1, "the new file is there already"
    fixed.unlink()
    dropped = fix(path, "--drop", "--json")
    assert (dropped.exit_code, json.loads(dropped.stdout)["dropped"]) == (0, [2])
    assert fixed.read_text() == f"{GOOD}\n{GOOD}\n"
    fixed.unlink()
    assert fix(path, "--drop", "--drop-duplicates").exit_code == 0
    assert fixed.read_text() == f"{GOOD}\n"


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    path, target = tmp_path / "data.jsonl", tmp_path / "absent" / "new.jsonl"
    path.write_text(f"{GOOD}\n")
    done = fix(path, "--output", target)
    assert (done.exit_code, done.stderr) == (
        1,
        f"tunery: {target} cannot be written: No such file or directory.\n",
    )


def test_valid_rows_of_another_format_are_not_dropped(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    lines = f'{GOOD}\n{{"prompt": "a", "completion": "b"}}\n'
    path.write_text(lines)
    left = fix(path, "--drop")
    assert (left.exit_code, "give each a file of its own" in left.stderr) == (1, True)
    assert (tmp_path / "data.fixed.jsonl").read_text() == lines


@given(
    st.lists(
        st.text(
            st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="\ufeff"), min_size=1
        )
    )
)
def test_a_file_without_faults_stays_as_it_is(texts: list[str]) -> None:
    content = b"".join(
        json.dumps({"prompt": text, "completion": text}, ensure_ascii=False).encode() + b"\n"
        for text in texts
    )
    found = Mended()
    assert b"".join(mended_lines(io.BytesIO(content), found)) == content
    assert found.repairs == {}
    assert check_jsonl(io.BytesIO(content)).n_problems == (not texts)
