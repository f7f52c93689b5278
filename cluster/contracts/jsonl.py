"""Checks training files in JSON Lines format: one pass over a stream, one row in memory, and a fixed verdict
for every line.

A line is refused unless any two parsers would read the same from it: it must be UTF-8 and strict JSON
(orjson: no NaN, no infinite number, no lone surrogate), without duplicate keys and NUL, at most 1 MiB long,
and at most 64 levels deep."""

import json
import re
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, BinaryIO, NamedTuple

import orjson
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from cluster.contracts.datasets import DatasetFormat, Problem, too_few_examples
from cluster.contracts.errors import InvalidDataset
from cluster.contracts.frozen import FrozenModel
from cluster.contracts.nesting import MAX_DEPTH, is_too_deep
from cluster.contracts.rows import OWN_RULES, ROW_TYPES, Row, row_format
from cluster.contracts.unsupported_formats import (
    UnsupportedFormat,
    cp1252_character,
    json_mistake,
    unsupported_file,
    unsupported_row,
)

MAX_LINE_BYTES = 1 << 20
MAX_PROBLEMS = 100
_SHOWN_CHARACTERS = 80

_READ_BYTES = MAX_LINE_BYTES + 6
"""The longest allowed line with a byte order mark and a line end, plus one byte, by which longer lines are
recognized."""

_BOM = b"\xef\xbb\xbf"
_ROLE_TAGS = ("system", "developer", "user", "assistant", "tool")
_ROLES = ", ".join(_ROLE_TAGS)


class FormatReport(FrozenModel):
    """The result of `check_jsonl`. The file may be used if `problems` is empty."""

    format: DatasetFormat | None
    """Format of the first valid line. None if there is none."""
    n_examples: int
    """Lines that are not blank, valid or not."""
    problems: list[Problem] = []
    """The first 100, at most one per line, in the order of lines."""
    n_problems: int = 0


class CheckedLine(NamedTuple):
    """A line that is not blank, or the blank line that broke a rule."""

    number: int
    """Line number from 1."""
    content: bytes
    """Content without the line's end. Empty if the line cannot be read as text at all."""
    row: Row | None
    """None if the line breaks a rule."""
    errors: list[InvalidDataset]


def checked_lines(stream: BinaryIO) -> Iterator[CheckedLine]:
    """Yields every line with all the rules that it breaks, of which `check_jsonl` reports the first.

    A file in an unsupported format has one line, which says so."""
    found: DatasetFormat | None = None
    for number, line in _numbered_lines(stream):
        content = line if isinstance(line, bytes) else b""
        try:
            if isinstance(line, InvalidDataset):
                raise line
            row = _parsed(line)
            found = _checked_format(row, found)
        except ValidationError as error:
            yield CheckedLine(number, content, None, [_broken_rule(one) for one in _details(error)])
        except InvalidDataset as error:
            yield CheckedLine(number, content, None, [error])
            if isinstance(error, UnsupportedFormat) and found is None:
                return
        else:
            yield CheckedLine(number, content, row, [])


def check_jsonl(stream: BinaryIO) -> FormatReport:
    """Checks every line against the row formats, and the file against its own rules: one format throughout,
    blank lines only at the end, and at least one example.

    The number of examples that training needs is checked when a job uses the file. A file in an unsupported
    format is reported as one problem and is not read further."""
    found: DatasetFormat | None = None
    n_examples = n_problems = 0
    problems: list[Problem] = []
    for number, line in _numbered_lines(stream):
        n_examples += isinstance(line, bytes | UnsupportedFormat)
        try:
            if isinstance(line, InvalidDataset):
                raise line
            found = _checked_format(parse_row(line), found)
        except InvalidDataset as error:
            n_problems += 1
            if len(problems) < MAX_PROBLEMS:
                problems.append(_as_problem(number, error))
            if isinstance(error, UnsupportedFormat) and found is None:
                return FormatReport(
                    format=None, n_examples=n_examples, problems=problems, n_problems=n_problems
                )
    if not n_examples and not n_problems:
        n_problems += 1
        problems.append(_no_examples())
    return FormatReport(format=found, n_examples=n_examples, problems=problems, n_problems=n_problems)


def read_rows(stream: BinaryIO) -> Iterator[tuple[int, Row]]:
    """Yields rows with their line numbers, from 1. Raises InvalidDataset, naming the line, at the first
    problem."""
    found: DatasetFormat | None = None
    for number, line in _numbered_lines(stream):
        try:
            if isinstance(line, InvalidDataset):
                raise line
            row = parse_row(line)
            found = _checked_format(row, found)
        except InvalidDataset as error:
            problem = _as_problem(number, error)
            raise InvalidDataset(problem.message, code=problem.code, param=problem.param) from error
        yield number, row


def parse_row(line: bytes) -> Row:
    """Parses one line, without its end. Raises InvalidDataset: `code` is the broken rule, `param` the place
    in the line, e.g. `messages[2].role`, and the message has the value and what is allowed."""
    try:
        return _parsed(line)
    except ValidationError as error:
        raise _broken_rule(_details(error)[0]) from error


def _parsed(line: bytes) -> Row:
    """Raises InvalidDataset, or pydantic's ValidationError with all rules that the row breaks."""
    data = _strict_json(line)
    if not isinstance(data, dict):
        raise InvalidDataset(
            f"The line is {_shown(data)}; every line must be a JSON object.", code="not_an_object"
        )
    return ROW_TYPES[_named_format(data)].model_validate(data)


def _details(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_context=False)


def _numbered_lines(stream: BinaryIO) -> Iterator[tuple[int, bytes | InvalidDataset]]:
    """Yields numbered lines without their ends, from 1. A line that cannot be accepted at all is replaced by
    its error."""
    first_blank = 0
    lines = _lines(stream)
    head = list(islice(lines, 2))
    if foreign := unsupported_file(head):
        yield 1, foreign
        return
    for number, line in enumerate(chain(head, lines), start=1):
        if number == 1:
            line = line.removeprefix(_BOM)
        if len(line) <= MAX_LINE_BYTES and not line.strip():
            first_blank = first_blank or number
            continue
        if first_blank:
            yield (
                first_blank,
                InvalidDataset(
                    "The line is blank; only the end of the file may have blank lines.", code="blank_line"
                ),
            )
            first_blank = 0
        yield number, line


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yields lines without their ends. A line that is too long is cut, but stays too long."""
    while raw := stream.readline(_READ_BYTES):
        if not raw.endswith(b"\n"):
            _skip_to_line_end(stream)
        yield raw.removesuffix(b"\n").removesuffix(b"\r")


def _skip_to_line_end(stream: BinaryIO) -> None:
    while (rest := stream.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
        pass


def _strict_json(line: bytes) -> Any:
    if len(line) > MAX_LINE_BYTES:
        raise InvalidDataset(
            f"The line is longer than {MAX_LINE_BYTES} bytes, the most allowed.", code="line_too_long"
        )
    try:
        data = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _unreadable(line, error) from error
    if is_too_deep(line, data):
        raise _too_deep()
    if rb"\u0000" in line and _has_nul(data):
        raise InvalidDataset(r"The line has the character NUL (\u0000) in a string.", code="nul_character")
    json.loads(line, object_pairs_hook=_refuse_duplicates, parse_int=float)
    return data


def _unreadable(line: bytes, error: orjson.JSONDecodeError) -> InvalidDataset:
    try:
        line.decode()
    except UnicodeDecodeError as undecodable:
        return _undecodable(line, undecodable)
    if "depth limit" in error.msg:
        return _too_deep()
    habit = json_mistake(line, error.pos)
    message = habit or f"is not JSON: {error.msg} at column {error.colno}"
    mistake = InvalidDataset(f"The line {message}.", code="invalid_json")
    mistake.column, mistake.demand = error.colno, habit or f"is not JSON: {error.msg}"
    return mistake


def _undecodable(line: bytes, error: UnicodeDecodeError) -> InvalidDataset:
    place = f"The line is not UTF-8: byte 0x{line[error.start]:02x} at byte {error.start + 1}"
    character = cp1252_character(line, error.start)
    if character is None or error.reason == "unexpected end of data":
        mistake = InvalidDataset(f"{place}; save the file as UTF-8.", code="invalid_encoding")
    else:
        mistake = UnsupportedFormat(
            f"{place} is '{character}' in Latin-1 or Windows-1252; save the file as UTF-8.",
            code="invalid_encoding",
        )
    mistake.column = len(line[: error.start].decode()) + 1
    return mistake


def _too_deep() -> InvalidDataset:
    return InvalidDataset(
        f"The line nests deeper than {MAX_DEPTH} levels, the most allowed.", code="too_deep"
    )


def _has_nul(data: object) -> bool:
    if isinstance(data, str):
        return "\x00" in data
    if isinstance(data, dict):
        return any(_has_nul(key) or _has_nul(value) for key, value in data.items())
    return isinstance(data, list) and any(map(_has_nul, data))


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    keys = set()
    for key, _ in pairs:
        if key in keys:
            raise InvalidDataset(f"The key {_shown(key)} appears twice in one object.", code="duplicate_key")
        keys.add(key)


def _named_format(data: dict[str, Any]) -> DatasetFormat:
    if foreign := unsupported_row(data):
        raise foreign
    if "messages" in data:
        return "chat"
    if "prompt" in data or "completion" in data:
        return "completion"
    if "input" in data or any(key.startswith(("preferred_", "non_preferred_")) for key in data):
        return "preference"
    if "tokens" in data or "labels" in data:
        return "token_classification"
    if "text" in data or "label" in data:
        return "classification"
    raise InvalidDataset(
        f"The line has the keys {_shown(list(data))}; expected messages (chat), prompt and completion, "
        "input, preferred_output and non_preferred_output (preference), text and label (classification), or "
        "tokens and labels (token classification).",
        code="unknown_format",
    )


def _checked_format(row: Row, found: DatasetFormat | None) -> DatasetFormat:
    format = row_format(row)
    if found is not None and format != found:
        raise InvalidDataset(
            f"The line is a {format} row in a file of {found} rows; a file has one format.",
            code="mixed_formats",
        )
    return format


def _broken_rule(detail: ErrorDetails) -> InvalidDataset:
    place, rule = _place(detail["loc"]), detail["type"]
    match rule:
        case "missing":
            return _broken(f"missing_{detail['loc'][-1]}", place, "is missing.")
        case "extra_forbidden":
            return _broken("unknown_key", place, "is not an allowed key.")
        case "union_tag_not_found":
            return _broken("missing_role", f"{place}.role", f"is missing; allowed: {_ROLES}.")
        case "union_tag_invalid":
            role = _shown(detail["input"]["role"])
            return _broken("unknown_role", f"{place}.role", f"is {role}; allowed: {_ROLES}.")
        case _ if rule in OWN_RULES:
            return _broken(rule, place, detail["msg"] + ".")
    demand = re.sub("^(Input|List|Dictionary) should", "it should", detail["msg"])
    demand = re.sub(" after validation, not .*", "", demand)
    error = _broken("invalid_value", place, f"is {_shown(detail['input'])}; {demand}.")
    error.demand = demand
    return error


def _broken(code: str, place: str, message: str) -> InvalidDataset:
    return InvalidDataset(f"{place or 'The row'} {message}", code=code, param=place or None)


def _place(location: tuple[int | str, ...]) -> str:
    """Returns `messages[2].role` for pydantic's ("messages", 2, "user", "role"), whose third part is the
    union's tag."""
    place = ""
    before: int | str = ""
    for part in location:
        if isinstance(part, int):
            place += f"[{part}]"
        elif not (isinstance(before, int) and part in _ROLE_TAGS):
            place += f".{part}" if place else part
        before = part
    return place


def _as_problem(line: int, error: InvalidDataset) -> Problem:
    return Problem(
        line=line,
        code=error.code or InvalidDataset.default_code,
        message=f"Line {line}: {error.message}",
        param=error.param,
    )


def _no_examples() -> Problem:
    return Problem(line=0, code="invalid_n_examples", message=too_few_examples("file", 0, 1), param="file")


def _shown(value: object) -> str:
    """Formats a value as JSON, short enough for a message."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
