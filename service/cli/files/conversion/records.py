"""Reads the records of a file in any of these formats: JSON Lines, one JSON document, CSV, TSV, Parquet, or a
folder that Hugging Face's `datasets` saved; also compressed with gzip where that is usual."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from cluster.contracts.jsonl import MAX_LINE_BYTES
from service.cli.failures import USAGE, CommandFailed

_TABLES = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_LISTS = ("rows", "data", "examples", "train", "instances", "items")
"""Keys of a JSON document whose value is its list of records."""
_MAX_LINE_CHARACTERS = 4 * MAX_LINE_BYTES
"""A record may be larger than its row, because it may have escapes and columns that the row does not have."""
MAX_DOCUMENT_CHARACTERS = 1024**3
"""Maximum number of characters of a file that is a single JSON value, after decompression."""
_CHUNK_CHARACTERS = 1024**2
_UNREADABLE = (ValueError, RecursionError, OSError, EOFError, zlib.error, csv.Error)
"""Errors that JSON, gzip, csv, pyarrow and datasets raise for files in another format."""


class Record(NamedTuple):
    line: int
    """Line on which the record begins, from 1; the record's number if the format has no lines."""
    value: dict[str, Any]


def read_records(path: Path, *, max_document_characters: int = MAX_DOCUMENT_CHARACTERS) -> Iterator[Record]:
    """Yields the records in their order. Raises CommandFailed if the file cannot be read in this format, or
    if a line or a document is too large for memory, which a small compressed file can hide."""
    try:
        yield from _records(path, max_document_characters)
    except UnicodeDecodeError as error:
        raise CommandFailed(f"{path} is not UTF-8: {error}.") from error
    except _UNREADABLE as error:
        raise CommandFailed(f"{path} {error}") from error


def _records(path: Path, max_document_characters: int) -> Iterator[Record]:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if path.is_dir():
        yield from _saved_dataset(path)
        return
    if suffixes[-1:] == [".parquet"]:
        yield from _parquet(path)
        return
    with path.open("rb") as file:
        is_packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if is_packed else file
        ending = suffixes[-2:-1] if is_packed and suffixes[-1:] == [".gz"] else suffixes[-1:]
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        if delimiter := _TABLES.get(ending[0] if ending else ""):
            yield from _table(text, delimiter)
        elif _is_document(text):
            yield from _document(text, max_document_characters)
        else:
            yield from _json_lines(text)


def _json_lines(text: io.TextIOWrapper) -> Iterator[Record]:
    for number, line in enumerate(_lines(text), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"has no JSON in line {number}: {error}.") from error
        yield _record(number, value)


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    number = 0
    while line := text.readline(_MAX_LINE_CHARACTERS + 1):
        number += 1
        if len(line) > _MAX_LINE_CHARACTERS:
            raise ValueError(f"has more than {_MAX_LINE_CHARACTERS:,} characters in line {number}.")
        yield line


def _is_document(text: io.TextIOWrapper) -> bool:
    """Whether the file is one JSON value: an array, or an object over several lines or of a known shape."""
    head = text.readline(_MAX_LINE_CHARACTERS)
    # What follows a line that was cut is not a second line.
    second = text.readline(_MAX_LINE_CHARACTERS).strip() if head.endswith(("\n", "\r")) else ""
    head = head.strip()
    text.seek(0)
    if not head.startswith(("[", "{")):
        return False
    if head.startswith("[") or not second:
        return head.startswith("[") or any(f'"{key}"' in head for key in _LISTS)
    return not second.startswith("{")


def _document(text: io.TextIOWrapper, max_characters: int) -> Iterator[Record]:
    value = json.loads(_whole(text, max_characters))
    if isinstance(value, dict):
        lists = [value[key] for key in _LISTS if isinstance(value.get(key), list)]
        value = lists[0] if lists else [value]
    for number, one in enumerate(value, 1):
        # The rows of Hugging Face's dataset viewer.
        is_numbered = isinstance(one, dict) and {"row_idx", "row"} <= one.keys()
        yield _record(number, one["row"] if is_numbered else one)


def _whole(text: io.TextIOWrapper, max_characters: int) -> str:
    parts, size = [], 0
    while part := text.read(_CHUNK_CHARACTERS):
        size += len(part)
        if size > max_characters:
            raise ValueError(
                f"is one JSON value of more than {max_characters:,} characters. Write it as JSON Lines."
            )
        parts.append(part)
    return "".join(parts)


def _table(text: io.TextIOWrapper, delimiter: str) -> Iterator[Record]:
    csv.field_size_limit(2**27)
    head = text.readline(_MAX_LINE_CHARACTERS)
    text.seek(0)
    if delimiter == "," and head.count(";") > head.count(","):
        delimiter = ";"
    reader = csv.DictReader(_lines(text), delimiter=delimiter, strict=True)
    line = 2
    for row in reader:
        if None in row or None in row.values():
            raise ValueError(f"has another number of cells in line {line} than in its first line.")
        yield Record(line, {str(name).strip(): cell for name, cell in row.items()})
        line = reader.line_num + 1


def _parquet(path: Path) -> Iterator[Record]:
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise CommandFailed(f"Reading {path} needs pyarrow: pip install pyarrow.") from error
    number = 0
    with ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=256):
            for value in batch.to_pylist():
                number += 1
                yield _record(number, value)


def _saved_dataset(path: Path) -> Iterator[Record]:
    try:
        from datasets import DatasetDict, load_from_disk
    except ImportError as error:
        raise CommandFailed(f"Reading the folder {path} needs datasets: pip install datasets.") from error
    found = load_from_disk(str(path))
    if isinstance(found, DatasetDict):
        raise CommandFailed(f"{path} has the splits {', '.join(found)}: name the folder of one.", USAGE)
    for number, value in enumerate(found, 1):
        yield _record(number, value)


def _record(number: int, value: Any) -> Record:
    if not isinstance(value, dict):
        raise ValueError(f"has no object in line {number}.")
    return Record(number, value)
