"""Files that are made while they are stored, so that only the current part of one is in memory."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from torch import Tensor, uint8

_BUFFER_BYTES = 1 << 20
_PIECE_BYTES = 16 << 20
"""Bytes of a tensor between two progress reports of an export."""


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to be stored. Reading it again gives the same bytes."""

    name: str
    bytes: int
    parts: Callable[[], Iterator[memoryview]]
    """Makes its content anew, in parts."""

    def open(self, advance: Callable[[int], None]) -> BinaryIO:
        """Opens the file. `advance` is called with the number of bytes that have been read since its last
        call."""
        return io.BufferedReader(_Parts(self.parts(), advance), buffer_size=_BUFFER_BYTES)


def whole_file(name: str, content: bytes) -> NewFile:
    return NewFile(name, len(content), lambda: iter([memoryview(content)]))


def bytes_of(tensor: Tensor) -> Iterator[memoryview]:
    """Yields the tensor's bytes, in parts."""
    view = tensor.contiguous().reshape(-1).view(uint8).numpy().data
    for start in range(0, len(view), _PIECE_BYTES):
        yield view[start : start + _PIECE_BYTES]


class _Parts(io.RawIOBase):
    def __init__(self, parts: Iterator[memoryview], advance: Callable[[int], None]) -> None:
        self._parts = parts
        self._advance = advance
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # Any writable buffer.
        while not self._rest:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._rest = part
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        self._advance(count)
        return count
