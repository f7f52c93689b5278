"""How long a client may take to send the body of a request, which holds a connection meanwhile."""

import asyncio
from collections.abc import Collection

from starlette.exceptions import HTTPException
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyTime:
    """Refuses a body with 408 when it has been waited for longer than `seconds`, and than what has arrived
    of it takes at `bytes_per_second`. So a body of usual size may come over a bad link, and one that trickles
    does not hold its connection for hours, whatever size it announces.

    Time in which the application does not read is not counted."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        paced: Collection[str],
        seconds: float = 30.0,
        bytes_per_second: float = 65_536.0,
    ) -> None:
        """Bodies of the paths in `paced` are files, which keep a pace of their own."""
        self._app = app
        self._paced = [compile_path(path)[0] for path in paced]
        self._seconds = seconds
        self._bytes_per_second = bytes_per_second

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or any(path.match(scope["path"]) for path in self._paced):
            await self._app(scope, receive, send)
            return
        now = asyncio.get_running_loop().time
        left: float | None = self._seconds

        async def receive_in_time() -> Message:
            nonlocal left
            since = now()
            try:
                async with asyncio.timeout(left) as limit:
                    message = await receive()
            except TimeoutError as error:
                if not limit.expired():
                    raise
                # HTTPException is the only exception that FastAPI's body reader lets through.
                raise HTTPException(408, self._message()) from error
            if left is not None:
                left += len(message.get("body", b"")) / self._bytes_per_second - (now() - since)
            if not message.get("more_body", False):
                left = None  # the next message is that the client has gone
            return message

        await self._app(scope, receive_in_time, send)

    def _message(self) -> str:
        return (
            f"The request's body came too slowly: it may take {self._seconds:g} s, and one more for each "
            f"{self._bytes_per_second / 2**10:g} KiB."
        )
