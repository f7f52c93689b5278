"""Reads the metrics of an old job: from its result file, plain or base64, and from its last checkpoint."""

import base64
import binascii
import csv
import io
import math
from collections.abc import Mapping
from typing import Any

from service.cli.import_openai.archive.archive import Archive, result_files

_MAX_RESULT_BYTES = 256 * 1024**2
_SHOWN = (
    "train_loss", "train_accuracy", "train_mean_token_accuracy", "valid_loss", "valid_mean_token_accuracy",
    "full_valid_loss", "full_valid_mean_token_accuracy",
)  # fmt: skip


def old_metrics(archive: Archive, job: Mapping[str, Any]) -> dict[str, float]:
    """The last value of each of the job's metrics, by its name in the API, with the last `step`."""
    found: dict[str, float] = {}
    for id in result_files(job):
        path = archive.content(id)
        if path is not None and path.stat().st_size <= _MAX_RESULT_BYTES:
            found |= last_metrics(path.read_bytes())
    checkpoints = [each.get("metrics") for each in archive.lines("checkpoints", job["id"])]
    known = [each for each in checkpoints if isinstance(each, dict)]
    for metrics in sorted(known, key=lambda each: _number(each.get("step")) or 0):
        found |= {name: value for name in _SHOWN if (value := _number(metrics.get(name))) is not None}
    return found


def last_metrics(content: bytes) -> dict[str, float]:
    """The last value in each column of a result file. Unknown columns, and values that are not numbers, are
    left out."""
    found: dict[str, float] = {}
    text = decoded(content).decode("utf-8-sig", "replace")
    try:
        for row in csv.DictReader(io.StringIO(text)):
            found |= {
                name: value for name in (*_SHOWN, "step") if (value := _number(row.get(name))) is not None
            }
    except csv.Error:
        return found
    return found


def decoded(content: bytes) -> bytes:
    """A result file as CSV. OpenAI encodes some in base64, which has no comma."""
    if b"," in content[:1000]:
        return content
    try:
        return base64.b64decode(b"".join(content.split()), validate=True)
    except binascii.Error:
        return content


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
