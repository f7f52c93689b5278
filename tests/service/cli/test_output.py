"""How lists are laid out on a terminal."""

from service.cli.output import column_widths

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
