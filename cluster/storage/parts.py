"""Decides into which parts an object is cut for S3.

S3's limits: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
"""

from cluster.contracts.errors import InvalidRequest

MIB = 1 << 20
MOST_PARTS = 10_000
SMALLEST_PART = 5 * MIB
"""Minimum bytes of all parts but the last."""
LARGEST_PART = 5 << 30
LARGEST_OBJECT = 5 << 40

PART_BYTES = 8 * MIB
"""Size of a part of a small object. Sending it again after an error costs little."""
_PARTS = 2_000
"""Number of parts into which a large object is cut. More parts mean more requests; fewer parts mean more to
send again."""
_GROWTH_PARTS = 1_000


def part_bytes_of(size: int, *, smallest: int = PART_BYTES) -> int:
    """Returns the size of all parts but the last of an object of `size` bytes: `smallest`, or the size that
    makes 2,000 parts. Raises InvalidRequest for an object that is too large for S3."""
    if size > LARGEST_OBJECT:
        raise InvalidRequest(f"An object of {size} bytes; S3 allows {LARGEST_OBJECT}.", param="key")
    in_mib = -(-size // (_PARTS * MIB)) * MIB
    return max(smallest, in_mib)


def streamed_part_bytes(number: int, *, smallest: int = PART_BYTES) -> int:
    """Returns the size of part `number`, counted from 0, of an object whose size is not known before its end.
    Parts grow by `smallest` every 1,000 parts. Because each part is held in memory, an object can have 55,000
    times `smallest` bytes, but the first GB needs no more memory than a small object."""
    return smallest * (1 + number // _GROWTH_PARTS)
