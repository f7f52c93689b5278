"""uvicorn's HTTP protocol, with fewer and larger writes.

Each write is a system call, and wakes whoever reads at the other end. An answer's head, its first lines and
its end are often ready at once, and so are several tokens' events; uvicorn writes each of them by itself.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_MOST_BYTES = 65_536
"""That wait; with more, the transport says when its reader is too slow."""


class CorkedHttp(HttpToolsProtocol):
    """For `uvicorn.Config(http=…)`: what is written within one turn of the event loop goes out together."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, Corked(transport, self.loop)))


class Corked:
    """A transport whose writes wait for the end of the loop's turn. All else is the transport's own."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting = bytearray()

    def write(self, data: bytes) -> None:
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting += data
        if len(self._waiting) > _MOST_BYTES:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def write_eof(self) -> None:
        self._flush()
        self._transport.write_eof()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._waiting and not self._transport.is_closing():
            self._transport.write(bytes(self._waiting))
        self._waiting.clear()
