"""Maps errors to HTTP: a status and OpenAI's error body, `{"error": {…}}`. The only module that does."""

import errno
import logging
import math
import random
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import compile_path

from cluster.contracts import errors
from cluster.contracts.errors import TuneryError
from service.api.http.not_offered import reason_not_offered
from service.api.http.validation import invalid_request

log = logging.getLogger(__name__)

_SPREAD = 1.5
_LONGEST_HEEDED_SECONDS = 60.0
"""Many clients, older openai SDKs among them, ignore a longer wait and retry within seconds."""


class PayloadTooLarge(errors.InvalidRequest):
    """The request's body is larger than its route accepts."""

    default_code = "request_too_large"


class UploadTooSlow(errors.InvalidRequest):
    """The body of an upload arrives too slowly."""

    default_code = "upload_too_slow"


class RangeNotSatisfiable(errors.InvalidRequest):
    """The client asks for bytes beyond the end of a download."""

    default_code = "range_not_satisfiable"

    def __init__(self, total_bytes: int) -> None:
        super().__init__(f"The requested range begins after the last of {total_bytes} bytes.", param="Range")
        self.total_bytes = total_bytes


_STATUS: list[tuple[type[TuneryError], int, str]] = [
    (UploadTooSlow, 408, "invalid_request_error"),
    (PayloadTooLarge, 413, "invalid_request_error"),
    (RangeNotSatisfiable, 416, "invalid_request_error"),
    (errors.InvalidRequest, 400, "invalid_request_error"),
    (errors.AuthenticationFailed, 401, "authentication_error"),
    (errors.PermissionDenied, 403, "permission_error"),
    (errors.NotFound, 404, "invalid_request_error"),
    (errors.Conflict, 409, "invalid_request_error"),
    (errors.RateLimited, 429, "requests"),
    (errors.QuotaExceeded, 429, "insufficient_quota"),
    (errors.Overloaded, 429, "rate_limit_error"),
    (errors.InsufficientStorage, 507, "server_error"),
    (errors.Unavailable, 503, "server_error"),
]
"""HTTP status of each error, from most to least specific. Any other error is a 500 whose message appears only
in the log."""

INTERNAL_ERROR: dict[str, Any] = {
    "error": {
        "message": "The server had an error while processing your request. Its log has the details.",
        "type": "server_error",
        "param": None,
        "code": "internal_error",
    }
}


def status_of(error: TuneryError) -> int:
    return _kind(error)[0]


def body_of(error: Exception) -> dict[str, Any]:
    """Returns OpenAI's error object. Errors that callers must not see become a generic one; an InternalError
    names the id under which it was logged."""
    is_shown = isinstance(error, errors.InternalError)
    if not isinstance(error, TuneryError) or (_kind(error)[0] == 500 and not is_shown):
        return INTERNAL_ERROR
    kind = error.unit if isinstance(error, errors.RateLimited) else _kind(error)[1]
    return _body(error.message, kind, error.param, error.code)


def response_of(error: TuneryError) -> Response:
    status = status_of(error)
    headers = {}
    if (seconds := _wait_seconds(error)) is not None:
        headers["retry-after"] = str(math.ceil(seconds))
        # The openai SDK uses this header. It is jittered so that rejected clients do not all return at once.
        # The wait for a limit is exact. The wait for a full queue is a guess, so clients should use its whole
        # spread.
        is_exact = isinstance(error, errors.RateLimited)
        earliest = seconds if is_exact else min(seconds, _LONGEST_HEEDED_SECONDS / _SPREAD)
        latest = max(earliest, min(_SPREAD * seconds, _LONGEST_HEEDED_SECONDS))
        headers["retry-after-ms"] = str(math.ceil(1000 * random.uniform(earliest, latest)))
    if (is_retry_useful := _is_retry_useful(error, seconds)) is not None:
        headers["x-should-retry"] = "true" if is_retry_useful else "false"
    if isinstance(error, RangeNotSatisfiable):
        headers["content-range"] = f"bytes */{error.total_bytes}"
    if isinstance(error, errors.AuthenticationFailed):
        headers["www-authenticate"] = "Bearer"
    if status == 500:
        log.error("request failed", exc_info=error)
    elif status > 500:
        log.warning("%s %s", error.message, _reason(error))
    return _json(status, body_of(error), headers)


def response_to_unforeseen(error: BaseException) -> Response:
    """Returns 507 for a full disk, wherever it was detected, and a bare 500 for anything else."""
    return response_of(errors.InsufficientStorage()) if _is_full_disk(error) else _json(500, INTERNAL_ERROR)


def install(app: Starlette) -> None:
    """Registers this module's handlers for every error that a route can raise."""
    handlers: dict[type[Exception], Callable[[Request, Any], Awaitable[Response]]] = {
        TuneryError: _tunery_error,
        RequestValidationError: _validation_error,
        HTTPException: _http_exception,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


async def _tunery_error(request: Request, error: TuneryError) -> Response:
    return response_of(error)


async def _validation_error(request: Request, error: RequestValidationError) -> Response:
    return response_of(invalid_request(error))


async def _http_exception(request: Request, error: HTTPException) -> Response:
    """Handles what the framework rejects: unknown routes, wrong methods, unreadable bodies."""
    # FastAPI turns any error while it reads a form into a 400.
    if _is_full_disk(error.__cause__):
        return response_of(errors.InsufficientStorage())
    if isinstance(error.__cause__, errors.Overloaded):
        return response_of(error.__cause__)
    where = f"{request.method} {request.url.path}"
    code = {
        404: "unknown_url",
        405: "method_not_allowed",
        408: "request_timeout",
        413: "request_too_large",
    }.get(error.status_code)
    message = {404: f"Unknown request URL: {where}.", 405: f"Not allowed: {where}."}.get(
        error.status_code, str(error.detail)
    )
    if error.status_code in (404, 405) and (reason := reason_not_offered(request.url.path)):
        code, message = "not_offered", f"{reason}: {where} is not offered."
    headers = {"Allow": _allowed_methods(request)} if error.status_code == 405 else error.headers
    return _json(error.status_code, _body(message, "invalid_request_error", None, code), headers)


def _allowed_methods(request: Request) -> str:
    """Value of the `Allow` header: the methods of all routes with the request's path. The framework names
    those of the first one only."""
    methods: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        if route.path and route.methods and compile_path(route.path)[0].fullmatch(request.url.path):
            methods |= route.methods
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))


def _wait_seconds(error: TuneryError) -> float | None:
    """When to retry; None if that is unknown."""
    if isinstance(error, errors.RateLimited):
        return error.retry_after_seconds if error.can_wait else None
    if isinstance(error, errors.Overloaded | errors.Unavailable):
        return max(1.0, error.retry_after_seconds)
    return None


def _is_retry_useful(error: TuneryError, wait_seconds: float | None) -> bool | None:
    """Whether the openai SDK, which retries every 409, 429 and 5xx, should retry this error; None leaves it
    to the SDK's own rules."""
    if isinstance(error, errors.Conflict):
        return isinstance(error, errors.InProgress)
    if isinstance(error, errors.RateLimited):
        return False if wait_seconds is None or wait_seconds > _LONGEST_HEEDED_SECONDS else None
    # The connection would be as slow the next time.
    is_useless = isinstance(error, errors.InsufficientStorage | errors.QuotaExceeded | UploadTooSlow)
    return False if is_useless else None


def _is_full_disk(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _reason(error: TuneryError) -> str:
    """The reason for the log."""
    return "; ".join([repr(error.__cause__ or ""), *getattr(error, "__notes__", [])])


def _kind(error: TuneryError) -> tuple[int, str]:
    for kind, status, name in _STATUS:
        if isinstance(error, kind):
            return status, name
    return 500, "server_error"


def _body(message: str, kind: str, param: str | None, code: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _json(status: int, body: dict[str, Any], headers: Any = None) -> Response:
    return Response(orjson.dumps(body), status, headers, media_type="application/json")
