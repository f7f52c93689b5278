import pytest

from cluster.contracts.errors import InvalidRequest
from cluster.storage.parts import (
    LARGEST_OBJECT,
    LARGEST_PART,
    MIB,
    MOST_PARTS,
    SMALLEST_PART,
    part_bytes_of,
    streamed_part_bytes,
)

GB = 10**9


@pytest.mark.parametrize(
    "size", [1, 8 * MIB, 8 * MIB + 1, 16 * GB, 84 * GB, 100 * GB, 112 * GB, 1000 * GB, LARGEST_OBJECT]
)
def test_the_parts_of_any_size_are_legal_for_s3(size: int) -> None:
    part = part_bytes_of(size)
    assert SMALLEST_PART <= part <= LARGEST_PART
    assert -(-size // part) <= MOST_PARTS


def test_a_file_of_100_gb_is_cut_into_2000_parts_of_48_mib() -> None:
    part = part_bytes_of(100 * GB)
    assert (part, -(-100 * GB // part)) == (48 * MIB, 1987)


def test_an_object_that_s3_cannot_hold_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="S3 allows"):
        part_bytes_of(LARGEST_OBJECT + 1)


def test_parts_of_a_stream_grow_so_that_their_number_stays_legal() -> None:
    sizes = [streamed_part_bytes(number) for number in range(MOST_PARTS)]
    assert sizes[:1000] == [8 * MIB] * 1000
    assert sizes == sorted(sizes)
    assert sizes[-1] == 80 * MIB
    assert sum(sizes) > 400 * GB
