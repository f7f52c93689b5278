"""Files that are sent in parts: how they are cut, and what has arrived. Pure but for reading the file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

PART_BYTES = 32 * 2**20
"""The server takes parts of up to 64 MiB."""
MAX_PARTS = 10_000
DEFAULT_THRESHOLD_BYTES = 64 * 2**20
"""Larger files are sent in parts."""


@dataclass
class UploadProgress:
    """How much of a file has arrived. `asdict` of it may be kept as JSON: its fields make it anew."""

    upload_id: str
    total_bytes: int
    part_bytes: int
    part_ids: dict[int, str] = field(default_factory=dict)
    """Ids by the part's place in the file, from 0."""

    def __post_init__(self) -> None:
        # Places that were kept as JSON are strings.
        self.part_ids = {int(index): part_id for index, part_id in self.part_ids.items()}

    @classmethod
    def of(cls, error: BaseException) -> UploadProgress | None:
        """How much had arrived when `error` ended an upload in parts: UploadInterrupted, KeyboardInterrupt, a
        task's CancelledError or any other. None if it ended no such upload."""
        found = getattr(error, "progress", None)
        return found if isinstance(found, cls) else None

    def hand_out(self, error: BaseException) -> None:
        """Lets `of` find it. The error keeps its type: Ctrl-C stays Ctrl-C."""
        error.__dict__["progress"] = self

    @property
    def sent_bytes(self) -> int:
        # Other threads may add parts meanwhile: a copy holds still.
        return sum(self.size_of(index) for index in tuple(self.part_ids))

    @property
    def missing(self) -> list[int]:
        return [index for index in range(self._num_parts) if index not in self.part_ids]

    @property
    def ordered_ids(self) -> list[str]:
        return [self.part_ids[index] for index in sorted(self.part_ids)]

    def size_of(self, index: int) -> int:
        return min(self.part_bytes, self.total_bytes - index * self.part_bytes)

    def read(self, path: Path, index: int) -> bytes:
        with path.open("rb") as file:
            file.seek(index * self.part_bytes)
            return file.read(self.size_of(index))

    @property
    def _num_parts(self) -> int:
        return max(1, -(-self.total_bytes // self.part_bytes))


def part_bytes_for(total_bytes: int) -> int:
    """Bytes of a part. Larger files have larger parts, since an upload takes no more than 10,000."""
    return max(PART_BYTES, -(-total_bytes // MAX_PARTS))


def md5_of(path: Path) -> str:
    """Checks that the parts make up the file, and is not for security."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()
