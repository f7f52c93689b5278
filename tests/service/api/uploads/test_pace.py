"""Which bodies keep the pace."""

import asyncio

import pytest
from fastapi import Request
from starlette.types import Message

from service.api.http.errors import UploadTooSlow, status_of
from service.api.uploads.pace import Pace

pytestmark = pytest.mark.anyio


class Sender:
    """Sends `size` bytes at a time, without end or until `pieces` are sent, and nothing between them."""

    def __init__(self, size: int, pieces: int | None = None) -> None:
        self.size = size
        self.pieces = pieces
        self.sent = 0

    async def __call__(self) -> Message:
        await asyncio.sleep(0)
        self.sent += 1
        is_last = self.sent == self.pieces
        return {"type": "http.request", "body": b"x" * self.size, "more_body": not is_last}


async def received(pace: Pace, sender: Sender) -> int:
    async with pace.kept(Request({"type": "http"}, sender)) as request:
        return sum([len(piece) async for piece in request.stream()])


async def test_a_trickle_ends_after_the_window_however_steady_it_is() -> None:
    pace = Pace(bytes_per_second=2**40, window_seconds=0.02, longest_seconds=3600)
    with pytest.raises(UploadTooSlow) as error:
        await received(pace, Sender(size=1))
    assert (error.value.code, status_of(error.value)) == ("upload_too_slow", 408)


async def test_a_body_at_the_pace_has_a_new_window_each_time_but_not_more_than_the_longest_time() -> None:
    sender = Sender(size=100)
    with pytest.raises(UploadTooSlow):
        await received(Pace(bytes_per_second=1, window_seconds=60, longest_seconds=0.05), sender)
    assert sender.sent > 1
    assert await received(Pace(bytes_per_second=1, window_seconds=60), Sender(100, pieces=5)) == 500


async def test_work_after_the_body_is_not_bound_by_the_window() -> None:
    pace = Pace(bytes_per_second=2**40, window_seconds=0.05, longest_seconds=3600)
    async with pace.kept(Request({"type": "http"}, Sender(1, pieces=1))) as request:
        await request.body()
        await asyncio.sleep(0.1)


async def test_without_a_longest_time_a_body_may_take_as_long_as_it_keeps_the_pace() -> None:
    assert await received(Pace(bytes_per_second=1, window_seconds=60), Sender(100, pieces=5)) == 500
    async with Pace(2**40, window_seconds=0.02).kept(
        Request({"type": "http"}, Sender(1, pieces=1))
    ) as request:
        await request.body()
        await asyncio.sleep(0.05)


async def test_a_timeout_of_the_work_itself_is_passed_on() -> None:
    with pytest.raises(TimeoutError):
        async with Pace(1).kept(Request({"type": "http"}, Sender(1, pieces=1))):
            raise TimeoutError
