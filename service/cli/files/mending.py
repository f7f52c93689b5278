"""Repairs a training file where only one repair is possible, and reports the repairs. Anything that could
change the meaning of a row is left as it is, for `tunery data check` to show."""

import ast
import codecs
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import orjson

from cluster.contracts.errors import InvalidDataset
from cluster.contracts.jsonl import MAX_LINE_BYTES, checked_lines, parse_row
from service.cli.failures import CommandFailed
from service.cli.files.calls import add_ids, stringify_arguments
from service.cli.files.roles import ROLES

_KNOWN_ROLES = {"system", "developer", "user", "assistant", "tool", "function"}
_STRINGS_AND_COMMAS = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])')
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff]")
_SIGNS_OF_CONTROL = re.compile(rb"\\u00[017][0-9a-fA-F]|\\u[fF][eE][fF][fF]|\xef\xbb\xbf|\x7f")
_LINE_ENDS = re.compile("\r\n|\n|\r")
"""Line ends of files. str.splitlines() also splits at characters that JSON allows in strings."""
_MESSAGES = (
    "messages",
    "preferred_output",
    "non_preferred_output",
    "preferred_completion",
    "non_preferred_completion",
)


@dataclass
class Mended:
    """The repairs that were made."""

    repairs: dict[str, list[int]] = field(default_factory=dict)
    """Line numbers in the old file, from 1, by the repair made there."""
    n_rows: int = 0
    dropped: list[int] = field(default_factory=list)
    """Lines that were left out because they cannot be mended."""

    def note(self, repair: str, line: int) -> None:
        lines = self.repairs.setdefault(repair, [])
        if lines[-1:] != [line]:
            lines.append(line)


def mended_lines(
    stream: BinaryIO, found: Mended, *, drops_broken: bool = False, drops_duplicates: bool = False
) -> Iterator[bytes]:
    """Yields the lines of the new file, and notes in `found` what was done. Raises CommandFailed if the file
    is not written in the encoding with which it begins."""
    seen: set[bytes] = set()
    for number, raw in enumerate(_decoded(stream, found), 1):
        for line in _mended(raw, number, found):
            if drops_broken and not _is_row(line):
                found.dropped.append(number)
                continue
            if drops_duplicates:
                digest = hashlib.blake2b(line, digest_size=16).digest()
                if digest in seen:
                    found.note("left out a repeated row", number)
                    continue
                seen.add(digest)
            found.n_rows += 1
            yield line + b"\n"


def _decoded(stream: BinaryIO, found: Mended) -> Iterator[bytes]:
    """The lines in UTF-8, without their line ends."""
    head = stream.read(4)
    stream.seek(0)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        found.note("wrote UTF-16 as UTF-8", 1)
        yield from (line.encode() for line in _LINE_ENDS.split(_utf_16(stream)))
        return
    first = _unmarked(stream.readline(), 1, found)
    if b"\r" in first.rstrip(b"\r\n") and b"\n" not in first:
        found.note("ended lines with LF instead of CR", 1)
        yield from first.split(b"\r")
        return
    if first.lstrip().startswith(b"["):
        whole = first + stream.read()
        rows = _loaded(whole)
        if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
            found.note("wrote each object of a JSON array on a line of its own", 1)
            yield from (_dumped(row) for row in rows)
            return
        yield from whole.splitlines()
        return
    if first:
        yield first.rstrip(b"\r\n")
    for line in stream:
        yield line.rstrip(b"\r\n")


def _unmarked(line: bytes, number: int, found: Mended) -> bytes:
    """Removes a byte order mark, which files joined from several have in the middle."""
    if line.startswith(codecs.BOM_UTF8):
        found.note("left out a byte order mark", number)
    return line.removeprefix(codecs.BOM_UTF8)


def _utf_16(stream: BinaryIO) -> str:
    try:
        return stream.read().decode("utf-16").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise CommandFailed(
            f"The file begins as UTF-16, but has other bytes at {error.start:,}: {error.reason}."
        ) from error


def _mended(raw: bytes, number: int, found: Mended) -> Iterator[bytes]:
    """Yields the rows of a line; none if it is blank or a comment."""
    raw = _unmarked(raw, number, found)
    if not raw.strip():
        found.note("left out a blank line", number)
        return
    if raw.lstrip().startswith((b"//", b"#")):
        found.note("left out a comment", number)
        return
    if len(raw) > MAX_LINE_BYTES or _is_clean(raw):
        yield raw
        return
    try:
        rows = _rows(raw, number, found)
        mended = [raw] if rows is None else [_dumped(_mended_row(row, number, found)) for row in rows]
    except RecursionError:
        # Such a value is nested too deeply for a row anyway.
        mended = [raw]
    yield from mended


def _rows(raw: bytes, number: int, found: Mended) -> list[dict[str, Any]] | None:
    """The objects of a line, or None if they cannot be determined."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return None
    for repair, attempt in _READINGS:
        rows = attempt(text)
        if rows is not None:
            if repair is not None:
                found.note(repair, number)
            return rows
    return None


def _plain(text: str) -> list[dict[str, Any]] | None:
    try:
        row = json.loads(text, object_pairs_hook=_same_pairs, parse_constant=_refuse)
    except ValueError:
        return None
    return [row] if isinstance(row, dict) else None


def _same_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Allows a repeated key if both values are equal."""
    row: dict[str, Any] = {}
    for key, value in pairs:
        if key in row and row[key] != value:
            raise ValueError(key)
        row[key] = value
    return row


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _without_commas(text: str) -> list[dict[str, Any]] | None:
    return _plain(_STRINGS_AND_COMMAS.sub(lambda match: match[1] or "", text.strip().rstrip(",")))


def _several(text: str) -> list[dict[str, Any]] | None:
    rows, position, decoder = [], 0, json.JSONDecoder(object_pairs_hook=_same_pairs, parse_constant=_refuse)
    text = text.strip()
    while position < len(text):
        try:
            row, position = decoder.raw_decode(text, position)
        except ValueError:
            return None
        if not isinstance(row, dict):
            return None
        rows.append(row)
        while position < len(text) and text[position] in " \t,":
            position += 1
    return rows


def _python(text: str) -> list[dict[str, Any]] | None:
    """Reads a dictionary as Python prints it. Only literals are read; no code is run."""
    try:
        tree = ast.parse(text.strip().rstrip(","), mode="eval")
        row = ast.literal_eval(tree)
        orjson.dumps(row)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    return [row] if isinstance(row, dict) and not _repeats_a_key(tree) else None


def _repeats_a_key(tree: ast.AST) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
            if len(keys) != len(set(keys)):
                return True
    return False


_READINGS: tuple[tuple[str | None, Callable[[str], list[dict[str, Any]] | None]], ...] = (
    (None, _plain),
    ("left out a needless comma", _without_commas),
    ("wrote each of several objects on a line of its own", _several),
    ("wrote a Python dictionary as JSON", _python),
)


def _mended_row(row: dict[str, Any], number: int, found: Mended) -> dict[str, Any]:
    row = _cleaned(row, number, found)
    for messages in _conversations(row):
        for message in messages:
            if isinstance(message, dict):
                _mend_message(message, number, found)
        if add_ids(messages):
            found.note("gave calls and their results the ids that they lack", number)
    # Some rules are checked only once others hold.
    while unknown := _unknown_keys(row):
        removed = [_remove(row, place) for place in unknown]
        if not any(removed):
            break
        found.note("left out a key that rows may not have", number)
    return row


def _conversations(row: dict[str, Any]) -> Iterator[list[Any]]:
    for part in (row, row.get("input")):
        lists = [part.get(key) for key in _MESSAGES] if isinstance(part, dict) else []
        yield from (one for one in lists if isinstance(one, list))


def _unknown_keys(row: dict[str, Any]) -> list[str]:
    return [
        error.param
        for line in checked_lines(io.BytesIO(_dumped(row)))
        for error in line.errors
        if error.code == "unknown_key" and error.param is not None
    ]


def _cleaned(value: Any, number: int, found: Mended) -> Any:
    """Removes control characters, which no tokenizer needs."""
    if isinstance(value, str):
        clean = _CONTROL.sub("", value)
        if clean != value:
            found.note("left out control characters", number)
        return clean
    if isinstance(value, dict):
        return {key: _cleaned(one, number, found) for key, one in value.items()}
    return [_cleaned(one, number, found) for one in value] if isinstance(value, list) else value


def _mend_message(message: dict[str, Any], number: int, found: Mended) -> None:
    role = message.get("role")
    if isinstance(role, str) and role not in _KNOWN_ROLES:
        plain = role.strip().lower()
        plain = ROLES.get(plain, plain)
        if plain in _KNOWN_ROLES:
            message["role"] = plain
            found.note("wrote a role as OpenAI does", number)
    weight = message.get("weight")
    if weight is not None and not (type(weight) is int and weight in (0, 1)) and weight in (0, 1, "0", "1"):
        message["weight"] = int(weight)
        found.note("wrote a weight as 0 or 1", number)
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            continue
        if stringify_arguments(function):
            found.note("wrote the arguments of a call as a string", number)
        if call.setdefault("type", "function") is None:
            call["type"] = "function"


def _remove(row: Any, place: str) -> bool:
    """Removes the key that `messages[2].extra` names. Returns whether it was there."""
    steps = [name or int(index) for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", place)]
    try:
        for step in steps[:-1]:
            row = row[step]
        del row[steps[-1]]
    except (KeyError, IndexError, TypeError):
        return False
    return True


def _is_clean(line: bytes) -> bool:
    return _is_row(line) and not _SIGNS_OF_CONTROL.search(line)


def _is_row(line: bytes) -> bool:
    try:
        parse_row(line)
    except InvalidDataset:
        return False
    return True


def _loaded(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _dumped(row: Any) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode(errors="surrogatepass")
