"""How lists are laid out on a terminal, and that JSON is JSON in every encoding."""

import io
import json

import pytest

from service.cli.output import Output, column_widths

JOB = "ftjob-0123456789abcdefghijklmn"
TUNED = "ft:tunery-tiny-1:acme:support:AbCd1234"


def test_ids_and_names_are_never_broken() -> None:
    headings = ["JOB", "STATUS", "STEP", "MODEL", "TUNED MODEL", "CREATED"]
    row = [JOB, "succeeded", "19/19", "tunery-tiny-1", TUNED, "2026-11-29 17:47:38+00:00"]
    assert column_widths([headings, row], 200) == [30, 9, 5, 13, len(TUNED), 25]
    assert column_widths([headings, row], 80) == [30, 9, 5, 13, 0, 15], "a time is broken at its space"
    assert column_widths([headings, row], 20) == [20, 0, 0, 0, 0, 0]


def test_sentences_are_broken_to_fit() -> None:
    rows = [["CHECK", "FOUND"], ["reachable", f"http://127.0.0.1:8000/v1/{'x' * 90}, 5 ms"]]
    assert column_widths(rows, 60) == [9, 49]
    assert column_widths([["A", "B"]], 60) == [1, 1]


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("utf-8", "\u00f6 \u20ac \U0001f600 \u2028"),
        ("UTF8", "\u00f6 \u20ac \U0001f600 \u2028"),
        ("ascii", r"\u00f6 \u20ac \ud83d\ude00 \u2028"),
        ("iso-8859-15", r"\u00f6 \u20ac \ud83d\ude00 \u2028"),
    ],
)
def test_json_can_be_read_back_whatever_the_encoding(
    monkeypatch: pytest.MonkeyPatch, encoding: str, written: str
) -> None:
    name = "\u00f6 \u20ac \U0001f600 \u2028"
    for show in (Output(True).json, lambda item: Output(True).line(item, {})):
        raw = io.BytesIO()
        # As every command has it.
        stdout = io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace")
        monkeypatch.setattr("sys.stdout", stdout)
        show({"name": name})
        stdout.flush()
        text = raw.getvalue().decode(encoding)
        assert (json.loads(text), written in text) == ({"name": name}, True)
