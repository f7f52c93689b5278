"""Signatures of texts that show how similar two texts are, in a fixed number of bytes, and keys that similar
texts share.

One-permutation MinHash (Li, Owen, Zhang 2012): a text's pairs of neighbouring words are hashed once and fall
into BINS; each bin keeps its smallest hash. The share of equal bins, among those that are not empty in both,
estimates the Jaccard similarity of the two sets of pairs. For the keys, an empty bin borrows from the next
bin that is not empty (Shrivastava, Li 2014), and locality-sensitive hashing makes a key of every ROWS
bins."""

import re
import struct
import zlib
from itertools import pairwise, repeat
from typing import NamedTuple

from cluster.contracts.words import UNSPACED, words_of

BINS = 128
ROWS = 6
BANDS = BINS // ROWS
SIGNATURE_BYTES = 2 * BINS

LEAST_PAIRS = 6
"""Minimum number of distinct word pairs. A shorter text cannot be more similar to another than by chance."""

_WORD = re.compile(f"[{UNSPACED}]|[^\\W{UNSPACED}]+")

_64_BITS = (1 << 64) - 1
_BIN_SHIFT = 64 - BINS.bit_length() + 1
_MIX = 0x9E3779B97F4A7C15
_BORROWED = 0x9E37
_PACKED = struct.Struct(f"<{BINS}H")
_LOW = int.from_bytes(b"\xff\x7f" * BINS, "little")
_HIGH = int.from_bytes(b"\x00\x80" * BINS, "little")


class Signature(NamedTuple):
    bins: bytes
    """SIGNATURE_BYTES: two bytes for each bin, both 0 in an empty one."""
    keys: list[int]
    """BANDS keys of 32 bits. Texts of similarity s share one with the probability 1 - (1 - s^ROWS)^BANDS."""


def signature(text: str) -> Signature | None:
    """Returns None for a text that is too short. The same text gives the same signature everywhere."""
    words = list(map(_HASHES.__getitem__, words_of(text.lower(), _WORD)))
    pairs = {((one << 32 | next) * _MIX) & _64_BITS for one, next in pairwise(words)}
    if len(pairs) < LEAST_PAIRS:
        return None
    # The topmost bits name the bin; of equal bins, the smallest pair comes last and stays. Of that, bits are
    # kept that do not get smaller with the number of pairs.
    smallest = {pair >> _BIN_SHIFT: (pair >> 32) & 0xFFFF or 1 for pair in sorted(pairs, reverse=True)}
    bins = list(map(smallest.get, range(BINS), repeat(0)))
    filled = _PACKED.pack(*_filled(bins))
    keys = [zlib.crc32(filled[start : start + 2 * ROWS]) for start in range(0, 2 * ROWS * BANDS, 2 * ROWS)]
    return Signature(_PACKED.pack(*bins), keys)


def similarity(one: bytes, other: bytes) -> float:
    """Estimates the Jaccard similarity of two texts from the bins of their signatures. The standard error is
    at most 0.045."""
    a, b = int.from_bytes(one, "little"), int.from_bytes(other, "little")
    num_used = _nonzero(a | b)
    return (num_used - _nonzero(a ^ b)) / num_used


def _nonzero(bins: int) -> int:
    """Counts the 16-bit numbers in `bins` that are not 0, all at once: adding 0x7fff carries into the highest
    bit."""
    return (((bins & _LOW) + _LOW | bins) & _HIGH).bit_count()


def _filled(bins: list[int]) -> list[int]:
    """Fills empty bins with the next value on their right, changed by the distance."""
    filled = bins.copy()
    distance = next(place for place, value in enumerate(bins) if value)
    value = bins[distance]
    for place in range(BINS - 1, -1, -1):
        if bins[place]:
            value, distance = bins[place], 0
        else:
            distance += 1
            filled[place] = (value + distance * _BORROWED) & 0xFFFF
    return filled


class _Hashes(dict[str, int]):
    """Hashes of words. Most words of a file occur often."""

    def __missing__(self, word: str) -> int:
        if len(self) >= 1 << 17:
            self.clear()
        found = zlib.crc32(word.encode())
        if len(word) < 64:
            self[word] = found
        return found


_HASHES = _Hashes()
