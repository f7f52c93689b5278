"""Middleware around every request, as plain ASGI because a buffering wrapper would break streaming."""

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from cluster.contracts.errors import InvalidRequest
from service.api.http.errors import PayloadTooLarge, response_of, response_to_unforeseen
from service.db.organization.api_keys import Principal
from service.db.organization.key_format import logged_id
from service.metrics.api import UNROUTED, ApiMetrics

log = logging.getLogger(__name__)


class RequestContext:
    """Gives each request an id, times and counts it, and turns uncaught exceptions into a bare 500.

    `x-request-id` is always generated here and never taken from the caller, who could otherwise choose what
    log lines contain."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"req_{uuid.uuid4().hex}"
        # A dictionary that all middleware and the route see, even if one of them copies the scope.
        shared = scope.setdefault("state", {})
        shared["request_id"] = request_id
        # Quoted, so that a path cannot forge log lines. The query is left out because it may contain
        # anything.
        what = f"{request_id} {scope['method']} {quote(scope['path'], safe='/:')}"
        metrics: ApiMetrics = scope["app"].state.metrics
        started = time.perf_counter()
        status = 0
        metrics.running.inc()

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
                with bound_contextvars(request=request_id):
                    await self._app(scope, receive, send_with_headers)
        except Exception as error:
            log.exception("%s failed", what, extra={"request": request_id, **_caller(shared)})
            if status:
                raise
            await response_to_unforeseen(error)(scope, receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - started
            metrics.running.dec()
            route = shared.get("route", UNROUTED)
            metrics.answered(scope["method"], route, status, seconds)
            fields = {"request": request_id, "route": route, "status": status, "seconds": round(seconds, 6)}
            log.info("%s %d %.0f ms", what, status, seconds * 1000, extra={**fields, **_caller(shared)})


def _caller(shared: Mapping[str, Any]) -> dict[str, str]:
    """Log fields that name the sender of the request."""
    principal: Principal | None = shared.get("principal")
    if principal is None:
        return {}
    return {"project": principal.tenant.project_id, "key": logged_id(principal.key_id)}


class RouteTemplate:
    """The innermost middleware: records which route has answered, for RequestContext. The requested paths
    themselves would create a metrics label for each id, and for anything that a client invents."""

    def __init__(self, app: ASGIApp, *, templates: Mapping[object, str]) -> None:
        """`templates`: paths such as `/v1/files/{file_id}` by endpoint."""
        self._app = app
        self._templates = templates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        finally:
            template = self._templates.get(scope.get("endpoint"))
            if template is not None:
                scope["state"]["route"] = template


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
            # Without a key there is no project for which the connection counts.
            if int(announced) <= 2 * limit and "principal" in scope.get("state", {}):
                await drop_body(receive)
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


async def drop_body(receive: Receive) -> None:
    """Reads a body that is not wanted, unless it comes too slowly."""
    with suppress(HTTPException):
        while (await receive()).get("more_body", False):
            pass


def _too_large(limit: int) -> str:
    return f"The request is larger than this route accepts: at most {limit} bytes ({limit / 2**20:g} MiB)."
