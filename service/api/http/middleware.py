"""Middleware around every request, as plain ASGI because a buffering wrapper would break streaming."""

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cluster.contracts.errors import InvalidRequest
from service.api.http.errors import PayloadTooLarge, response_of, response_to_unforeseen

log = logging.getLogger(__name__)


class RequestContext:
    """Gives each request an id, times it, and turns uncaught exceptions into a bare 500.

    `x-request-id` is always generated here and never taken from the caller, who could otherwise choose what
    log lines contain."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"req_{uuid.uuid4().hex}"
        # Quoted, so that a path cannot forge log lines. The query is left out because it may contain
        # anything.
        what = f"{request_id} {scope['method']} {quote(scope['path'], safe='/:')}"
        started = time.perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers["openai-processing-ms"] = str(round((time.perf_counter() - started) * 1000))
            await send(message)

        try:
            if "\0" in scope["path"] or b"%00" in scope["query_string"]:
                error = InvalidRequest("The URL contains a NUL character.")
                await response_of(error)(scope, receive, send_with_headers)
            else:
                await self._app(scope, receive, send_with_headers)
        except Exception as error:
            log.exception("%s failed", what)
            if status:
                raise
            await response_to_unforeseen(error)(scope, receive, send_with_headers)
        finally:
            milliseconds = (time.perf_counter() - started) * 1000
            log.info("%s %d %.0f ms", what, status, milliseconds)


class WithoutTrailingSlash:
    """Routes `/v1/models/` as `/v1/models`. On a redirect, many clients would drop the body and the key."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].endswith("/"):
            scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
        await self._app(scope, receive, send)


class HeadAsGet:
    """Answers HEAD with the headers of GET. A stream ends right after its headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        is_answered = asyncio.Event()
        is_read = False

        async def receive_nothing() -> Message:
            nonlocal is_read
            if is_read:
                await is_answered.wait()
                return {"type": "http.disconnect"}
            is_read = True
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                is_answered.set()

        await self._app({**scope, "method": "GET"}, receive_nothing, send_head)


class BodyLimit:
    """Rejects a body that is larger than its route accepts, by its declared length or as it arrives.

    The rest of a declared body is read and discarded first, up to a limit: if the server closed the
    connection while the client is still sending, the client would see a broken connection instead of the
    response."""

    def __init__(self, app: ASGIApp, *, limits: Mapping[str, int], default: int) -> None:
        """`limits` holds the maximum number of bytes per path, such as `/v1/uploads/{upload_id}/parts`, and
        `default` that of all other paths."""
        self._app = app
        self._limits = [(compile_path(path)[0], limit) for path, limit in limits.items()]
        self._default = default

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = next(
            (limit for path, limit in self._limits if path.match(scope["path"])),
            self._default,
        )
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > limit:
            if int(announced) <= 2 * limit:
                await _drop_body(receive)
            await response_of(PayloadTooLarge(_too_large(limit)))(scope, receive, send)
            return
        received = 0

        async def receive_within_limit() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > limit:
                    # HTTPException is the only exception that FastAPI's body reader lets through.
                    raise HTTPException(413, _too_large(limit))
            return message

        await self._app(scope, receive_within_limit, send)


async def _drop_body(receive: Receive) -> None:
    while (await receive()).get("more_body", False):
        pass


def _too_large(limit: int) -> str:
    return f"The request is larger than this route accepts: at most {limit} bytes ({limit / 2**20:g} MiB)."
