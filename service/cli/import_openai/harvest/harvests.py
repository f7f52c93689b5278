"""Locates a model's answers in an archive."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.cli.import_openai.archive.archive import Archive, read_lines

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def slug(name: str) -> str:
    """A file name for any name: the beginning of the name, and a digest."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{_UNSAFE.sub('-', name).strip('-')[:80]}-{digest}"


def harvest_path(archive: Archive, model: str) -> Path:
    return archive.folder / "harvests" / f"{slug(model)}.jsonl"


def request_key(request: Mapping[str, Any]) -> str:
    """The same for requests with the same content, whatever their limits."""
    return json.dumps([request.get("messages"), request.get("prompt")], sort_keys=True)


def rows_by_request(archive: Archive, model: str) -> dict[str, Mapping[str, Any]]:
    """The rows that have an `answer`. If several rows have the same request, the last one."""
    path = harvest_path(archive, model)
    rows = read_lines(path) if path.exists() else ()
    return {
        request_key(row["request"]): row
        for row in rows
        if isinstance(row.get("answer"), str) and isinstance(row.get("request"), dict)
    }
