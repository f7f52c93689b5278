"""The exceptions that calls raise.

TuneryError
├── MissingApiKey           neither an argument nor the environment has a key
├── ConnectionFailed        no answer: connection refused, lost or timed out
├── UploadInterrupted       a file is partly there; `progress` resumes it
├── CorruptDownload         a file arrived with another SHA-256 than the server announced
├── TargetExists            a download would replace a file that has other content
├── ExportFailed            the server could not make the format that was asked for
├── WaitTimeout             the time limit of a method of `jobs` passed; the server continues
└── ApiError                status, code, param, request_id, retry_after_seconds, is_retry_useful
    ├── InvalidRequest      400, 413
    ├── AuthenticationFailed  401
    ├── PermissionDenied    403
    ├── NotFound            404
    ├── Conflict            409
    ├── Overloaded          429
    └── ServerError         500 and above; a 503 may be retried
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from tunery_client.uploading import UploadProgress


class TuneryError(Exception):
    """Base of the tree."""


class MissingApiKey(TuneryError):
    """There is no API key for the server."""


class ConnectionFailed(TuneryError):
    """The server did not answer."""


class UploadInterrupted(TuneryError):
    """A file could not be uploaded whole. Give `progress` to `files.upload`, which sends what is missing."""

    def __init__(self, message: str, progress: UploadProgress) -> None:
        super().__init__(message)
        self.progress = progress


class CorruptDownload(TuneryError):
    """A file arrived with another SHA-256 than the server announced. It was deleted."""


class TargetExists(TuneryError, FileExistsError):
    """The folder of a download has a file of that name with other content. It was left as it is."""


class ExportFailed(TuneryError):
    """The server could not make the format of a model that was asked for."""


class WaitTimeout(TuneryError, TimeoutError):
    """A job did not end in time, or its preview or estimate was not made. The server continues."""


class ApiError(TuneryError):
    """The server answered with an error."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None,
        param: str | None,
        request_id: str | None,
        retry_after_seconds: float | None = None,
        is_retry_useful: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.param = param
        """The invalid parameter."""
        self.request_id = request_id
        """Identifies the request in the server's log."""
        self.retry_after_seconds = retry_after_seconds
        """How long the server asks to wait before the next try."""
        self.is_retry_useful = is_retry_useful
        """What the server says of another try; None if it does not say."""


class InvalidRequest(ApiError):
    pass


class AuthenticationFailed(ApiError):
    pass


class PermissionDenied(ApiError):
    pass


class NotFound(ApiError):
    pass


class Conflict(ApiError):
    pass


class Overloaded(ApiError):
    pass


class ServerError(ApiError):
    pass


_BY_STATUS: dict[int, type[ApiError]] = {
    401: AuthenticationFailed,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    429: Overloaded,
}
_SHOULD_RETRY = {"true": True, "false": False}


def error_of_response(response: httpx.Response) -> ApiError:
    """The error that a response which has been read stands for."""
    general = ServerError if response.status_code >= 500 else InvalidRequest
    kind = _BY_STATUS.get(response.status_code, general)
    return kind(
        **_error_fields(response),
        status=response.status_code,
        request_id=response.headers.get("x-request-id"),
        retry_after_seconds=_retry_after(response),
        is_retry_useful=_SHOULD_RETRY.get(response.headers.get("x-should-retry", "")),
    )


@contextmanager
def connection() -> Iterator[None]:
    """Turns every failure below HTTP into ConnectionFailed."""
    try:
        yield
    except httpx.TransportError as error:
        raise ConnectionFailed(f"{type(error).__name__}: {error}") from error


def error_of_event(error: dict[str, Any], response: httpx.Response) -> ApiError:
    """Returns an error that arrived in the middle of a stream, after the status had been sent."""
    return ServerError(
        **_fields(error), status=response.status_code, request_id=response.headers.get("x-request-id")
    )


def _error_fields(response: httpx.Response) -> dict[str, Any]:
    try:
        return _fields(response.json()["error"])
    except (AttributeError, KeyError, TypeError, ValueError):  # not from Tunery: a proxy's error page
        return {"message": f"HTTP status {response.status_code}", "code": None, "param": None}


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds; a date, which Tunery never sends, is None."""
    try:
        return max(0.0, float(response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None


def _fields(error: dict[str, Any]) -> dict[str, Any]:
    return {"message": error["message"], "code": error.get("code"), "param": error.get("param")}
