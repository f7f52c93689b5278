"""Minimum speed of an upload's body: the upload occupies a connection, and others may wait behind it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message

from service.api.http.errors import UploadTooSlow


@dataclass(frozen=True)
class Pace:
    bytes_per_second: int
    """The lowest average rate over `window_seconds`."""
    window_seconds: float = 30.0
    longest_seconds: float | None = None
    """Time limit in seconds for the whole request, including the work with the body; None: no limit as long
    as the body keeps the pace."""

    @asynccontextmanager
    async def kept(self, request: Request) -> AsyncIterator[Request]:
        """Yields the request with a body that must keep the pace. If it does not, raises UploadTooSlow and
        ends the block."""
        now = asyncio.get_running_loop().time
        end = None if self.longest_seconds is None else now() + self.longest_seconds
        received = 0

        def window_end() -> float:
            at = now() + self.window_seconds
            return at if end is None else min(at, end)

        async def receive() -> Message:
            nonlocal received
            message = await request.receive()
            received += len(message.get("body", b""))
            if not message.get("more_body", False):
                limit.reschedule(end)
            elif received >= self.bytes_per_second * self.window_seconds:
                received = 0
                limit.reschedule(window_end())
            return message

        try:
            async with asyncio.timeout_at(window_end()) as limit:
                yield Request(request.scope, receive)
        except TimeoutError as error:
            if not limit.expired():
                raise
            longest = "" if end is None else f", and at most {self.longest_seconds:g} s for the whole part"
            raise UploadTooSlow(
                f"The upload arrived too slowly: at least {self.bytes_per_second / 2**10:g} KiB per second "
                f"are needed, on average over {self.window_seconds:g} s{longest}. Send a large file in "
                "parts, and fewer at once."
            ) from error


class PacedRoute(APIRoute):
    """A route whose body, if it has one, must keep the pace of uploads."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        if self.body_field is None:
            return handler

        async def handle(request: Request) -> Response:
            pace: Pace = request.app.state.upload_pace
            async with pace.kept(request) as paced:
                return await handler(paced)

        return handle
