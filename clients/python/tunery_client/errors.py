"""The exceptions that calls raise.

TuneryError
├── ConnectionFailed        no answer: connection refused, lost or timed out
├── WaitTimeout             the time limit of `jobs.wait` passed; the job continues
└── ApiError                status, code, param, request_id
    ├── InvalidRequest      400, 413
    ├── AuthenticationFailed  401
    ├── PermissionDenied    403
    ├── NotFound            404
    ├── Conflict            409
    ├── Overloaded          429
    └── ServerError         500 and above; a 503 may be retried
"""

from typing import Any

import httpx


class TuneryError(Exception):
    """Base of the tree."""


class ConnectionFailed(TuneryError):
    """The server did not answer."""


class WaitTimeout(TuneryError, TimeoutError):
    """The job did not end in time. It continues on the server."""


class ApiError(TuneryError):
    """The server answered with an error."""

    def __init__(
        self, message: str, *, status: int, code: str | None, param: str | None, request_id: str | None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.param = param
        """The invalid parameter."""
        self.request_id = request_id
        """Identifies the request in the server's log."""


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


def raise_for_error(response: httpx.Response) -> None:
    """An httpx response hook that reads an error's body and raises the matching ApiError."""
    if response.is_success:
        return
    response.read()
    general = ServerError if response.status_code >= 500 else InvalidRequest
    kind = _BY_STATUS.get(response.status_code, general)
    raise kind(
        **_error_fields(response),
        status=response.status_code,
        request_id=response.headers.get("x-request-id"),
    )


def error_of_event(error: dict[str, Any], response: httpx.Response) -> ApiError:
    """Returns an error that arrived in the middle of a stream, after the status had been sent."""
    return ServerError(
        **_fields(error), status=response.status_code, request_id=response.headers.get("x-request-id")
    )


def _error_fields(response: httpx.Response) -> dict[str, Any]:
    try:
        error = response.json()["error"]
    except (ValueError, TypeError, KeyError):  # not from Tunery: a proxy's error page
        return {"message": f"HTTP status {response.status_code}", "code": None, "param": None}
    return _fields(error)


def _fields(error: dict[str, Any]) -> dict[str, Any]:
    return {"message": error["message"], "code": error["code"], "param": error["param"]}
