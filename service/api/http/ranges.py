"""Downloads that a client can interrupt and resume: single byte ranges (RFC 9110, section 14)."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from starlette.responses import Response, StreamingResponse

from service.api.http.errors import RangeNotSatisfiable

_CHUNK_BYTES = 2**20
_SINGLE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*")


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes that can be read from any position."""

    bytes: int
    open: Callable[[int], BinaryIO]
    """Opens the bytes at a position, which is less than `bytes`."""


def download(
    request_headers: Mapping[str, str], segments: Sequence[Segment], *, etag: str, headers: Mapping[str, str]
) -> Response:
    """Answers with the segments one after the other, or with the range of them that the client requests.
    Nothing is opened before the first byte is sent.

    `etag` is a quoted strong validator: it changes with the bytes. Several ranges in one request are ignored,
    as the standard allows. Raises RangeNotSatisfiable."""
    total = sum(segment.bytes for segment in segments)
    headers = {
        **headers,
        "accept-ranges": "bytes",
        "etag": etag,
        # Browsers must save the file, whatever it contains, and never render it.
        "x-content-type-options": "nosniff",
    }
    if etag in _etags(request_headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    wanted = None
    if request_headers.get("if-range", etag) == etag:
        wanted = requested_range(request_headers.get("range"), total)
    start, end = wanted or (0, total)
    headers["content-length"] = str(end - start)
    if wanted is not None:
        headers["content-range"] = f"bytes {start}-{end - 1}/{total}"
    return StreamingResponse(
        _chunks(segments, start, end),
        206 if wanted else 200,
        headers,
        media_type="application/octet-stream",
    )


def requested_range(header: str | None, total: int) -> tuple[int, int] | None:
    """Returns the position of the first byte and the position after the last one; None for everything, also
    if the header cannot be parsed. Raises RangeNotSatisfiable if no byte is in the range."""
    found = _SINGLE.fullmatch(header or "")
    if found is None or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:
        start, end = max(0, total - int(last)), total
    else:
        start, end = int(first), min(int(last) + 1, total) if last else total
        if last and int(last) < start:
            return None
    if start >= end:
        raise RangeNotSatisfiable(total)
    return start, end


def _etags(header: str) -> list[str]:
    return [etag.strip().removeprefix("W/") for etag in header.split(",")]


def _chunks(segments: Sequence[Segment], start: int, end: int) -> Iterator[bytes]:
    place = 0
    for segment in segments:
        first, last = max(start - place, 0), min(end - place, segment.bytes)
        if first < last:
            yield from _read(segment, first, last - first)
        place += segment.bytes


def _read(segment: Segment, start: int, count: int) -> Iterator[bytes]:
    with segment.open(start) as reader:
        while count and (chunk := reader.read(min(count, _CHUNK_BYTES))):
            yield chunk
            count -= len(chunk)
