"""Graceful shutdown.

On SIGTERM the process first reports that it is not ready, then stops accepting connections, and exits when
running requests have finished or the drain time is over."""

import asyncio
import logging
import socket
import time
from dataclasses import dataclass
from types import FrameType

import uvicorn

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
"""As often as uvicorn checks for a second signal."""


@dataclass
class Draining:
    """Whether this process is shutting down."""

    has_begun: bool = False


class DrainingServer(uvicorn.Server):
    """uvicorn's server with a notice period before its own shutdown. A second SIGINT skips the notice and the
    drain."""

    def __init__(self, config: uvicorn.Config, draining: Draining, *, notice_seconds: float) -> None:
        super().__init__(config)
        self._draining = draining
        self._notice_seconds = notice_seconds

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._draining.has_begun = True
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            log.info("listening at %s port %d", *listener.getsockname()[:2])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        deadline = time.monotonic() + self._notice_seconds
        while time.monotonic() < deadline and not self.force_exit:
            await asyncio.sleep(_POLL_SECONDS)
        await super().shutdown(sockets)
