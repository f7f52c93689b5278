"""uvicorn's HTTP protocol with limits on the bytes, time and number of connections.

uvicorn limits neither the size of a request's head nor the time that a client takes to send it, and any next
byte ends its `timeout_keep_alive`. httptools joins the pieces of a header as they arrive, so the work for one
header grows with the square of its length.

A client that exceeds a limit before a response has begun gets a JSON error; then the connection is closed.
"""

import asyncio
import json
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from operator import attrgetter
from typing import cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from cluster.wire.corked import CorkedHttp

_SLICE_BYTES = 65_536
"""Number of bytes that are passed to the parser at once. No more than that is kept of a head beyond the
limit."""


@dataclass(frozen=True)
class ConnectionLimits:
    head_bytes: int = 65_536
    """Maximum size of a request's line and headers, and of everything else outside its body."""
    head_seconds: float = 15.0
    """Maximum time from the connection to the first byte of a request, and from there to the end of its
    headers."""
    idle_seconds: float = 60.0
    """Maximum time from a response to the next request's first byte."""
    body_bytes_per_second: float = 512.0
    """Minimum rate of a body, over each `body_seconds`. Time in which the application does not read is not
    counted."""
    body_seconds: float = 20.0
    unread_seconds: float = 10.0
    """How long the rest of a request is read and dropped after its response: if the server closed the
    connection while the client still sends, the client would see a broken connection instead of the
    response."""
    stalled_seconds: float = 60.0
    """How long a client may read nothing of a pending response."""
    pipelined: int = 16
    """Maximum requests on one connection that wait for the responses to earlier ones."""
    connections: int = 2048
    """Maximum connections of one server. Beyond that, idle connections are closed, the longest idle first, as
    nginx does; if none is idle, the new one is refused with 503."""
    check_seconds: float = 1.0
    """Interval between two checks of a connection. Limits are applied one interval early, so that none is
    exceeded."""


class _Reading(Enum):
    """What the connection expects from the client."""

    REQUEST = "a request"
    HEAD = "the rest of a head"
    BODY = "the rest of a body"
    NOTHING = "nothing: it has been refused, and what comes is dropped"


class GuardedHttp(CorkedHttp):
    """HTTP protocol for `uvicorn.Config(http=…)`; `limited_to` returns a class with other limits."""

    limits = ConnectionLimits()

    @classmethod
    def limited_to(cls, limits: ConnectionLimits) -> "type[GuardedHttp]":
        return cast("type[GuardedHttp]", type(cls.__name__, (cls,), {"limits": limits}))

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._unparsed = 0
        """Bytes since the parser last completed a head, a piece of a body, or a message."""
        self._stalled_since: float | None = None
        self._reading = _Reading.HEAD
        self._await(_Reading.HEAD)
        self._next_check = self.loop.call_later(self.limits.check_seconds, self._check)
        if len(self.connections) > self.limits.connections and not self._make_room():
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too_many_connections", "Too many connections.")

    def connection_lost(self, exc: Exception | None) -> None:
        self._next_check.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), _SLICE_BYTES):
            if self._reading is _Reading.NOTHING or self.transport.is_closing():
                return
            piece = data[start : start + _SLICE_BYTES]
            self._unparsed += len(piece)
            super().data_received(piece)
            if self._unparsed > self.limits.head_bytes:
                self._refuse_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await(_Reading.HEAD)

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > self.limits.head_bytes:
            self._refuse_head()
        elif len(self.pipeline) >= self.limits.pipelined:
            self._refuse(HTTPStatus.BAD_REQUEST, "invalid_http", "Too many pipelined requests.")
        self._unparsed = 0
        if self._is_listening():
            super().on_headers_complete()
        self._await(_Reading.BODY)

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        self._body_bytes += len(body)
        if self._is_listening():
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed = 0
        if self._is_listening():
            super().on_message_complete()
        self._await(_Reading.REQUEST)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._since = self.loop.time()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled_since = self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stalled_since = None

    def send_400_response(self, msg: str) -> None:
        self._refuse(HTTPStatus.BAD_REQUEST, "invalid_http", msg)

    def _await(self, reading: _Reading) -> None:
        if self._reading is not _Reading.NOTHING:
            self._reading = reading
        self._since = self.loop.time()
        self._body_bytes = 0
        """Bytes of the body since `_since`."""

    def _is_listening(self) -> bool:
        return self._reading is not _Reading.NOTHING and not self.transport.is_closing()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _is_idle(self) -> bool:
        """Whether closing the connection loses nothing but an incomplete request."""
        return not (self._is_answering() or self.transport.is_closing())

    def _check(self) -> None:
        """Enforces the limits and schedules the next check."""
        self._next_check = self.loop.call_later(self.limits.check_seconds, self._check)
        now = self.loop.time()
        if self._stalled_since is not None and now - self._stalled_since > self.limits.stalled_seconds:
            self.transport.abort()
        elif self._waits_for_us():
            self._await(self._reading)
        else:
            self._check_client(now + self.limits.check_seconds - self._since)

    def _waits_for_us(self) -> bool:
        """Whether the client is not expected to send because the application has not requested more."""
        is_expecting = self._is_answering() and self.cycle.waiting_for_100_continue
        return self.flow.read_paused or (self._reading is _Reading.BODY and is_expecting)

    def _check_client(self, waited: float) -> None:
        limits = self.limits
        match self._reading:
            case _Reading.REQUEST if waited > limits.idle_seconds and not self._is_answering():
                self.transport.close()
            case _Reading.HEAD if waited > limits.head_seconds:
                self._refuse_slow("head")
            case _Reading.BODY if not self._is_answering():
                if waited > limits.unread_seconds:
                    self.transport.close()
            case _Reading.BODY if waited > limits.body_seconds:
                if self._body_bytes < limits.body_bytes_per_second * limits.body_seconds:
                    self._refuse_slow("body")
                else:
                    self._await(_Reading.BODY)
            case _Reading.NOTHING if waited > limits.unread_seconds:
                self.transport.abort()

    def _make_room(self) -> bool:
        """Closes the connection that has been idle longest. Returns False if none is idle."""
        idle = [other for other in self.connections if isinstance(other, GuardedHttp) and other._is_idle()]
        longest = min((other for other in idle if other is not self), key=attrgetter("_since"), default=None)
        if longest is not None:
            longest.transport.close()
        return longest is not None

    def _refuse_head(self) -> None:
        limit = self.limits.head_bytes
        self._refuse(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            "headers_too_large",
            f"The request's line and headers are larger than this server accepts: at most {limit} bytes.",
        )

    def _refuse_slow(self, part: str) -> None:
        if self._reading is _Reading.HEAD and not self._unparsed:
            self.transport.close()  # there is no request to answer
            return
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, "request_timeout", f"The request's {part} came too slowly.")

    def _refuse(self, status: HTTPStatus, code: str, message: str) -> None:
        """Answers the request that is being read, unless a response has begun, and ignores further input."""
        if not self._is_listening():
            return
        if self._reading is _Reading.BODY and self._is_answering():
            is_free = not (self.cycle.response_started or self.pipeline)
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        else:
            is_free = not self._is_answering()
        self._reading = _Reading.NOTHING
        if not is_free:
            self.transport.close()
            return
        self.transport.write(_answer(status, code, message, self.server_state.default_headers))
        self.transport.write_eof()


def _answer(status: HTTPStatus, code: str, message: str, default_headers: list[tuple[bytes, bytes]]) -> bytes:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    error = {"message": message, "type": kind, "param": None, "code": code}
    body = json.dumps({"error": error}).encode()
    headers = [
        *default_headers,
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append((b"retry-after", b"1"))
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    return STATUS_LINE[status] + lines + b"\r\n" + body
