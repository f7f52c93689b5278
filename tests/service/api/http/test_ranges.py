"""Range requests over segments that are read from any place on."""

import asyncio
import io
from random import Random

from starlette.responses import StreamingResponse

from service.api.http.ranges import Segment, download

MIB = 1 << 20


class Zeros(io.RawIOBase):
    """An endless reader that notes how much is asked for at once."""

    most = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        Zeros.most = max(Zeros.most, len(buffer))
        return len(buffer)


def body(segments: list[Segment], wanted: str | None = None) -> bytes:
    async def collect() -> bytes:
        request = {} if wanted is None else {"range": wanted}
        response = download(request, segments, etag='"1"', headers={})
        assert isinstance(response, StreamingResponse)
        return b"".join([bytes(chunk) async for chunk in response.body_iterator])

    return asyncio.run(collect())


def in_memory(content: bytes) -> Segment:
    return Segment(len(content), lambda start: io.BytesIO(content[start:]))


def test_any_range_of_any_segments_is_that_part_of_their_bytes() -> None:
    random = Random(0)
    for _ in range(200):
        pieces = [random.randbytes(random.randrange(6)) for _ in range(random.randrange(1, 6))]
        whole = b"".join([*pieces, b"!"])
        start = random.randrange(len(whole))
        last = random.randrange(start, len(whole))
        segments = [in_memory(piece) for piece in [*pieces, b"!"]]
        assert body(segments) == whole
        assert body(segments, f"bytes={start}-{last}") == whole[start : last + 1]


def test_large_segments_are_read_in_small_pieces_from_the_first_byte_that_is_wanted() -> None:
    places: list[int] = []

    def opened(start: int) -> io.RawIOBase:
        places.append(start)
        return Zeros()

    size = 4000 * MIB
    segments = [Segment(size, opened), Segment(size, opened)]  # type: ignore[arg-type]
    assert len(body(segments, f"bytes={size + 5}-{size + 5 + 3 * MIB}")) == 3 * MIB + 1
    assert places == [5]
    assert Zeros.most <= MIB
