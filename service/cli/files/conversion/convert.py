"""Converts a file in another format into a training file, every row of which passes the server's own
check."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.contracts.datasets import DatasetFormat
from cluster.contracts.errors import InvalidDataset
from cluster.contracts.jsonl import MAX_LINE_BYTES, parse_row
from cluster.contracts.rows import row_format
from service.cli.files.conversion.formats import FORMATS, recognize
from service.cli.files.conversion.messages import NotConvertible
from service.cli.files.conversion.records import Record, read_records


@dataclass
class Conversion:
    """The result of converting a file."""

    n_rows: int = 0
    format: DatasetFormat | None = None
    """Format of the rows that were written."""
    formats: Counter[str] = field(default_factory=Counter)
    """Number of records of each format."""
    refused: list[tuple[int, str]] = field(default_factory=list)
    """Records that were left out, by line, each with `code message`."""


def converted_lines(
    source: Path,
    found: Conversion,
    *,
    format: str | None = None,
    columns: Mapping[str, str] = {},
    system: str | None = None,
) -> Iterator[bytes]:
    """Yields the rows of a training file, and counts them in `found`.

    `format` is one of FORMATS; if it is None, the format is recognized by each record's keys. `columns` maps
    keys of the format to keys of the record, and `system` is an instruction for rows that have none. Raises
    CommandFailed if the file cannot be read at all."""
    for record in read_records(source):
        try:
            yield _line(record, found, format, columns, system)
            found.n_rows += 1
        except NotConvertible as error:
            found.refused.append((record.line, f"not_convertible The record {error}."))
        except InvalidDataset as error:
            found.refused.append((record.line, f"{error.code} {error.message}"))


def _line(
    record: Record, found: Conversion, format: str | None, columns: Mapping[str, str], system: str | None
) -> bytes:
    value = record.value | {name: record.value.get(column) for name, column in columns.items()}
    kind = recognize(value) if format is None else FORMATS[format]
    if kind is None:
        raise NotConvertible(f"has the keys {', '.join(value)}, which no known format has; see --column")
    try:
        row = kind.convert(value)
    except (KeyError, TypeError, AttributeError, StopIteration, ValueError) as error:
        if isinstance(error, NotConvertible):
            raise
        raise NotConvertible(f"is not as the format {kind.name} has it") from error
    if system is not None:
        _instruct(row, system)
    line = json.dumps(row, ensure_ascii=False, default=str).encode(errors="surrogatepass")
    if len(line) > MAX_LINE_BYTES:
        raise InvalidDataset("The row has more than 1 MiB.", code="line_too_long")
    checked = row_format(parse_row(line))
    if found.format not in (None, checked):
        raise InvalidDataset(
            f"The row is a {checked} row in a file of {found.format} rows.", code="mixed_formats"
        )
    found.format = checked
    found.formats[kind.name] += 1
    return line + b"\n"


def _instruct(row: dict[str, Any], system: str) -> None:
    conversation = row.get("input", row)
    messages = conversation.get("messages")
    if messages and messages[0]["role"] not in ("system", "developer"):
        conversation["messages"] = [{"role": "system", "content": system}, *messages]
