"""The report never raises for what a file holds, and agrees with the validation of files."""

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.contracts.data_report import MAX_PLACES
from cluster.contracts.jsonl import check_jsonl
from cluster.contracts.rows import ChatRow
from cluster.data_checks.answers import judge
from cluster.data_checks.check import check_data
from cluster.data_checks.columns import column_of
from cluster.data_checks.rules import ERRORS, rule_of
from cluster.data_checks.texts import texts_of
from tests.cluster.contracts.test_jsonl_corpus import FILES

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)
SPICE = st.sampled_from(
    [
        "@a.b",
        "+1 ",
        "4111 ",
        "sk-",
        "Ã©",
        "<|im_start|>",
        "I'm sorry",
        "://a:b@",
        "DE89",
        "\u202e",
        "а",
        "-----BEGIN ",
    ]
)
SAID = st.lists(TEXT | SPICE, max_size=6).map("".join)
ROW = st.one_of(
    st.fixed_dictionaries({"prompt": SAID, "completion": SAID.filter(bool)}),
    st.fixed_dictionaries(
        {"text": SAID.filter(bool), "label": SAID.filter(bool).map(lambda text: text[:200])}
    ),
    st.builds(
        lambda turns, system: {
            "messages": [
                *([{"role": "system", "content": system}] if system else []),
                *({"role": role, "content": text} for role, text in turns),
                {"role": "assistant", "content": "done"},
            ]
        },
        st.lists(st.tuples(st.sampled_from(["user", "assistant"]), SAID), max_size=4),
        SAID,
    ),
)


@pytest.mark.parametrize("name", FILES)
def test_a_report_has_the_errors_that_validation_finds(name: str) -> None:
    content, verdict = FILES[name]
    report = check_data(io.BytesIO(content), validation=io.BytesIO(content))
    lines: dict[int, set[str]] = {}
    for finding in report.findings:
        assert finding.count >= len(finding.places) <= MAX_PLACES
        for place in finding.places:
            if finding.severity == "error" and finding.code != "identical_answers":
                lines.setdefault(place.line, set()).add(finding.code)
    assert set(lines) == {line for line, _ in verdict}
    for line, code in verdict:
        assert code in lines[line]
    accepted = check_jsonl(io.BytesIO(content))
    assert report.format == accepted.format
    assert report.n_lines >= accepted.n_examples


@settings(deadline=None, max_examples=60)
@given(st.lists(ROW, max_size=25))
def test_no_accepted_file_makes_it_raise(rows: list[dict[str, object]]) -> None:
    for is_ascii in (True, False):
        lines = [json.dumps(row, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass") for row in rows]
        content = b"\n".join(lines)
        report = check_data(io.BytesIO(content), validation=io.BytesIO(content))
        assert report == check_data(io.BytesIO(content), validation=io.BytesIO(content))
        for finding in report.findings:
            for place in finding.places:
                assert place.column <= 1 + (len(lines[place.line - 1].decode()) if place.line else 0)


HOSTILE = [
    "a",
    "1",
    "1 ",
    "+1",
    "@a.",
    "a@",
    "Ã",
    "sk-",
    "A1",
    "://a:",
    "password=",
    "eyJ",
    "-eyJ",
    "<",
    "\u200b",
    "漢",
    "а",
    "I'm sorry ",
    "a1-",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_text_of_one_mebibyte_takes_linear_time(piece: str) -> None:
    """A pattern with more than linear time would take hours."""
    text = piece * (1_000_000 // len(piece.encode()))
    row = json.dumps({"prompt": text, "completion": text[:1000]}, ensure_ascii=False).encode()
    assert check_data(io.BytesIO(row[: 1 << 20] if len(row) > 1 << 20 else row)).n_lines == 1


BROKEN = b'{"role": "user", "content": 4}'
CHEAP_TO_SEND = {
    "labels": b'{"tokens": [%s], "labels": [%s]}'
    % (b", ".join([b'"x"'] * 60_000), b", ".join(b'"%d"' % number for number in range(60_000))),
    "broken messages": b'{"messages": [%s]}' % b", ".join([BROKEN] * 30_000),
    "messages": b'{"messages": [%s, {"role": "assistant", "content": "x"}]}'
    % b", ".join([BROKEN.replace(b"4", b'"a@b.cc"')] * 20_000),
    "keys": b'{"prompt": "a", "completion": "b", %s}' % b", ".join(b'"%d": 1' % key for key in range(60_000)),
}


@pytest.mark.parametrize("name", CHEAP_TO_SEND)
def test_a_line_with_many_values_takes_linear_time(name: str) -> None:
    assert len(CHEAP_TO_SEND[name]) <= 1 << 20
    assert check_data(io.BytesIO(CHEAP_TO_SEND[name])).n_lines == 1


def test_a_row_with_many_messages_takes_linear_time() -> None:
    """To compare each message with each, or to copy the prompt for each, would take an hour."""
    system = [{"role": "system", "content": str(number)} for number in range(100_000)]
    user = {"role": "user", "content": " " + "a" * 2_000_000}
    answers = [{"role": "assistant", "content": "b"}] * 100_000
    row = ChatRow.model_validate({"messages": [*system, user, *answers]})
    texts = texts_of(row)
    assert texts.instructions is not None
    assert len(texts.instructions) == len(system)
    assert sum(text.is_instruction for text in texts.all) == len(system)
    assert texts.content.startswith(" a")
    assert [code for answer in texts.answers for code in judge(answer)] == []


@given(SAID, st.text(st.characters(codec="utf-8"), min_size=1, max_size=20), st.booleans())
def test_the_column_of_a_character_is_where_it_is_in_the_line(before: str, text: str, is_ascii: bool) -> None:
    row = {"a": before, "b": [{"c": 1}, {"content": text}]}
    line = json.dumps(row, ensure_ascii=is_ascii)
    start = column_of(line, "b[1].content")
    assert line[start - 1] == '"'
    for offset in range(len(text)):
        column = column_of(line, "b[1].content", offset)
        assert line[column - 1 :].startswith(json.dumps(text[offset], ensure_ascii=is_ascii)[1:-1])
    assert line[column_of(line, "b[7].x") - 1] == "["
    assert line[column_of(line, "nothing.here") - 1] == "{"


def test_every_rule_has_one_entry() -> None:
    codes = {code for _, verdict in FILES.values() for _, code in verdict}
    for code in codes:
        assert rule_of(code).severity == "error"
        assert rule_of(code).title != "The line breaks a rule."
    assert len({rule.code for rule in ERRORS}) == len(ERRORS)
