"""Near duplicates among the rows of a file, and between a file and its validation file."""

from array import array
from collections.abc import Iterator

from cluster.data_checks.signatures import BANDS, SIGNATURE_BYTES, signature, similarity

THRESHOLD = 0.8
"""Jaccard similarity of word pairs from which on texts are nearly the same."""
_COMPARED = 12
"""Maximum number of rows with the same key with which a row is compared. If there are more, they are similar
to each other."""


class NearDuplicates:
    """Takes about 350 bytes per row, for `most` rows; further rows are ignored."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bins = bytearray()
        self._keys = [array("I") for _ in range(BANDS)]
        self._lines = array("q")
        self._num_validation = 0
        self.num_skipped = 0

    def add_validation(self, line: int, text: str) -> None:
        """Adds a row of the validation file. Add these rows first; at most half of all rows are from the
        validation file."""
        if len(self._lines) < self._most // 2 and self._add(line, text):
            self._num_validation += 1

    def add(self, line: int, text: str) -> None:
        if len(self._lines) >= self._most:
            self.num_skipped += 1
        else:
            self._add(line, text)

    @property
    def num_checked(self) -> int:
        return len(self._lines) - self._num_validation

    def find(self) -> tuple[dict[int, int], dict[int, int]]:
        """Returns, for each line that is nearly the same as an earlier one, that earlier line; and for each
        line that is nearly the same as one of the validation file, that line."""
        repeated: dict[int, int] = {}
        leaked: dict[int, int] = {}
        for keys in self._keys:
            for group in self._groups(keys):
                self._compare(group, repeated, leaked)
        lines = self._lines
        return (
            {lines[row]: lines[earlier] for row, earlier in repeated.items()},
            {lines[row]: lines[other] for row, other in leaked.items()},
        )

    def _add(self, line: int, text: str) -> bool:
        found = signature(text)
        if found is None:
            return False
        self._bins += found.bins
        for keys, key in zip(self._keys, found.keys, strict=True):
            keys.append(key)
        self._lines.append(line)
        return True

    def _groups(self, keys: "array[int]") -> Iterator[list[int]]:
        """Yields the rows that share a key, in order."""
        # Sorting takes less memory than a dictionary, and only that of one band at a time.
        ordered = sorted(key << 32 | row for row, key in enumerate(keys))
        group: list[int] = []
        before = -1
        for packed in ordered:
            if packed >> 32 != before:
                if len(group) > 1:
                    yield group
                group, before = [], packed >> 32
            group.append(packed & 0xFFFFFFFF)
        if len(group) > 1:
            yield group

    def _compare(self, group: list[int], repeated: dict[int, int], leaked: dict[int, int]) -> None:
        first: list[int] = []
        of_validation = [row for row in group[:_COMPARED] if row < self._num_validation]
        for row in group:
            if row < self._num_validation:
                continue
            if row not in leaked and (other := self._similar(row, of_validation)) is not None:
                leaked[row] = other
            if row in repeated:
                continue
            if (earlier := self._similar(row, first)) is not None:
                repeated[row] = earlier
            elif len(first) < _COMPARED:
                first.append(row)

    def _similar(self, row: int, others: list[int]) -> int | None:
        mine = self._bins_of(row)
        for other in others:
            if similarity(mine, self._bins_of(other)) >= THRESHOLD:
                return other
        return None

    def _bins_of(self, row: int) -> bytes:
        return bytes(self._bins[row * SIGNATURE_BYTES : (row + 1) * SIGNATURE_BYTES])
