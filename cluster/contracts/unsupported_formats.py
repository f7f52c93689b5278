"""Recognizes files and rows in other common formats, and says how to turn them into a training file."""

import csv
import re
from typing import Any, NamedTuple

import orjson

from cluster.contracts.errors import InvalidDataset


class UnsupportedFormat(InvalidDataset):
    """A file or row in another known format. If no valid row came before it, the whole file is in that
    format."""


def unsupported_file(head: list[bytes]) -> UnsupportedFormat | None:
    """Recognizes, by its first lines, a file that is compressed or binary, a table, text in another encoding
    or with other line ends, or one JSON document. Returns None if it is none of these."""
    if not head:
        return None
    first = head[0]
    return (
        _packed(first) or _wide_text(first) or _old_mac_text(first) or _whole_document(head) or _table(head)
    )


def unsupported_row(row: dict[str, Any]) -> UnsupportedFormat | None:
    """Recognizes a row in another library's format. Returns None if it is none."""
    if "messages" in row:
        return None
    for known in _ROWS:
        if known.keys <= row.keys():
            return UnsupportedFormat(f"The line is {known.name}; {known.remedy}.", code="unknown_format")
    if row.keys() == {"text"}:
        return UnsupportedFormat(
            "label is missing: text alone is for classification; to learn plain text, write "
            '{"prompt": "", "completion": "…"}.',
            code="missing_label",
            param="label",
        )
    return None


def json_mistake(line: bytes, position: int) -> str | None:
    """Explains why a line of text is not JSON, if the reason is a common mistake: returns the end of a
    sentence that starts with "The line". `position` is the byte at which the parser stopped."""
    text = line.strip()
    if text.startswith((b"//", b"#", b"/*")):
        return "is a comment; JSON has none, so leave the line out"
    if text.startswith(b"<"):
        return "begins with '<', as HTML and XML do; write one JSON object a line"
    if re.match(rb"\{\s*'", text):
        return "has text in single quotes, as Python prints a dict; write it with json.dumps"
    if text.endswith(b",") and _is_json(text[:-1]):
        return "ends with a comma; write one JSON object a line, with nothing between the lines"
    if _is_json(re.sub(rb",(\s*[}\]])", rb"\1", text)):
        return "has a comma before a closing bracket, which JSON does not allow; leave it out"
    if _is_json(re.sub(rb"\s(//|#).*", b"", text)):
        return "has a comment after the object; JSON has none, so leave it out"
    if line[:position].rstrip().endswith(b"}") and line[position:].lstrip().startswith(b"{"):
        return "holds several objects; write each on a line of its own"
    return None


def cp1252_character(line: bytes, start: int) -> str | None:
    """Returns the byte at `start`, which is not UTF-8, as a Windows-1252 character if it is printable."""
    if re.search(rb"\xed[\xa0-\xbf][\x80-\xbf]", line):
        return None  # half of a surrogate pair, from a program that split an emoji
    try:
        character = line[start : start + 1].decode("cp1252")
    except UnicodeDecodeError:
        return None
    return character if character.isprintable() else None


class _Magic(NamedTuple):
    beginning: bytes
    name: str
    remedy: str


_UNPACK = "unpack it and upload the .jsonl file that is in it"
_EXPORT = "write its rows as JSON, one object a line"
_PANDAS = "write its rows as JSON Lines, with pandas for example: to_json(…, orient='records', lines=True)"

_MAGIC = (
    _Magic(b"\x1f\x8b", "compressed with gzip", _UNPACK),
    _Magic(b"BZh", "compressed with bzip2", _UNPACK),
    _Magic(b"\xfd7zXZ\0", "compressed with xz", _UNPACK),
    _Magic(b"\x28\xb5\x2f\xfd", "compressed with zstd", _UNPACK),
    _Magic(b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    _Magic(b"Rar!", "a rar archive", _UNPACK),
    _Magic(b"PK\x03\x04", "a zip archive", _UNPACK),
    _Magic(b"PAR1", "a Parquet table", _PANDAS),
    _Magic(b"ARROW1", "an Arrow table", _PANDAS),
    _Magic(b"\xff\xff\xff\xff", "an Arrow stream", _PANDAS),
    _Magic(b"\xd0\xcf\x11\xe0", "an old Office document", _EXPORT),
    _Magic(b"SQLite format 3\0", "an SQLite database", _EXPORT),
    _Magic(b"%PDF-", "a PDF document", _EXPORT),
)

_AS_CHAT = (
    'write it as {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}'
)
_AS_PREFERENCE = (
    'write it as {"input": {"messages": […]}, "preferred_output": [{"role": "assistant", "content": "…"}], '
    '"non_preferred_output": [{"role": "assistant", "content": "…"}]}'
)


class _KnownRow(NamedTuple):
    keys: frozenset[str]
    name: str
    remedy: str


_ROWS = (
    _KnownRow(frozenset({"instruction", "output"}), "an Alpaca row (instruction, input, output)", _AS_CHAT),
    _KnownRow(
        frozenset({"instruction", "response"}), "a Dolly row (instruction, context, response)", _AS_CHAT
    ),
    _KnownRow(frozenset({"conversations"}), "a ShareGPT row (conversations)", _AS_CHAT),
    _KnownRow(frozenset({"contents"}), "a Gemini row (contents)", _AS_CHAT),
    _KnownRow(
        frozenset({"chosen", "rejected"}), "a TRL preference row (prompt, chosen, rejected)", _AS_PREFERENCE
    ),
    _KnownRow(
        frozenset({"prompt", "completion", "label"}),
        "a TRL row of an unpaired preference (prompt, completion, label)",
        "leave out the label and keep the rows to learn from, or write pairs of a better and a worse answer",
    ),
    _KnownRow(
        frozenset({"prompt", "response"}),
        "a row of prompt and response",
        f"call response completion, or {_AS_CHAT}",
    ),
    _KnownRow(frozenset({"query", "response"}), "a row of query and response", _AS_CHAT),
    _KnownRow(frozenset({"question", "answer"}), "a row of question and answer", _AS_CHAT),
    _KnownRow(frozenset({"input", "output"}), "a row of input and output", _AS_CHAT),
)


def _packed(first: bytes) -> UnsupportedFormat | None:
    if first.startswith(b"PK\x03\x04") and (b"[Content_Types].xml" in first or b"xl/" in first):
        return _file("an Excel workbook", _EXPORT, code="unknown_format")
    for magic in _MAGIC:
        if first.startswith(magic.beginning):
            return _file(magic.name, magic.remedy, code="unknown_format")
    return None


def _wide_text(first: bytes) -> UnsupportedFormat | None:
    """Text with two or four bytes per character, with or without a byte order mark."""
    start = first[:64]
    num_nul = start.count(0)
    if start.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")) or num_nul > 0.6 * len(start):
        name = "UTF-32"
    elif start.startswith((b"\xff\xfe", b"\xfe\xff")) or num_nul > 0.4 * len(start):
        name = "UTF-16"
    else:
        return None
    return _file(f"{name} text", "save it as UTF-8", code="invalid_encoding")


def _old_mac_text(first: bytes) -> UnsupportedFormat | None:
    if not re.search(rb"\}[ \t]*\r[ \t]*\{", first):
        return None
    return _file(
        "text whose lines end with CR alone", "save it with LF or CR LF line ends", code="invalid_json"
    )


def _whole_document(head: list[bytes]) -> UnsupportedFormat | None:
    """One object or array that holds all rows, on one line or across all lines."""
    first, second = (line.strip() for line in [*head, b""][:2])
    if re.match(rb"\[\s*\{", first) and _is_json(first):
        return _file("one JSON array", "write each of its objects on a line of its own", code="not_an_object")
    is_open = (first == b"{" and second[:1] == b'"') or (
        first[:1] == b"[" and (first + second)[1:].lstrip()[:1] == b"{" and not _is_json(first)
    )
    if not is_open:
        return None
    name = "one JSON array" if first[:1] == b"[" else "one JSON document over several lines"
    return _file(name, "write each row as one object on a line of its own", code="invalid_json")


def _table(head: list[bytes]) -> UnsupportedFormat | None:
    """Cells separated by commas, semicolons or tabs, with names in the first line or as many cells in the
    second."""
    try:
        first, second = (line.decode().strip("\r\n\ufeff") for line in [*head, b""][:2])
    except UnicodeDecodeError:
        return None
    if first[:1] in ("{", "[") or second[:1] in ("{", "["):
        return None
    for delimiter, name in (("\t", "TSV"), (",", "CSV"), (";", "CSV")):
        cells, below = _cells(first, delimiter), _cells(second, delimiter)
        are_names = all(re.fullmatch(r"[\w .-]{1,40}", cell) for cell in cells)
        if len(cells) > 1 and (len(cells) == len(below) or are_names):
            return _file(f"a {name} table", _PANDAS, code="unknown_format")
    return None


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _file(name: str, remedy: str, *, code: str) -> UnsupportedFormat:
    return UnsupportedFormat(f"The file is {name}; {remedy}.", code=code)
