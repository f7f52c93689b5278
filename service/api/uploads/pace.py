"""How fast the body of a request must arrive that has others waiting behind it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Request
from starlette.types import Message

from cluster.contracts.errors import InvalidRequest


@dataclass(frozen=True)
class Pace:
    bytes_per_second: int = 64 * 2**10
    """The lowest average rate over `window_seconds`."""
    window_seconds: float = 30.0
    longest_seconds: float = 600.0
    """For the whole request. The openai SDK gives up then, too."""

    @asynccontextmanager
    async def kept(self, request: Request) -> AsyncIterator[Request]:
        """Yields the request with a body that must keep the pace. Raises InvalidRequest (`part_too_slow`) and
        ends the block when it does not."""
        now = asyncio.get_running_loop().time
        end = now() + self.longest_seconds
        received = 0

        async def receive() -> Message:
            nonlocal received
            message = await request.receive()
            received += len(message.get("body", b""))
            if not message.get("more_body", False):
                limit.reschedule(end)
            elif received >= self.bytes_per_second * self.window_seconds:
                received = 0
                limit.reschedule(min(now() + self.window_seconds, end))
            return message

        try:
            async with asyncio.timeout(min(self.window_seconds, self.longest_seconds)) as limit:
                yield Request(request.scope, receive)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise InvalidRequest(
                f"The part arrived too slowly: at least {self.bytes_per_second / 2**10:g} KiB per second are "
                f"needed, and at most {self.longest_seconds:g} s for the whole part. Send smaller parts, and "
                "fewer at once.",
                code="part_too_slow",
                param="data",
            ) from error
