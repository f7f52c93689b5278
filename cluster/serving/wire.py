"""How errors travel from the engine to the service: an ErrorEvent and a status."""

import logging
from typing import get_args

from cluster.contracts.errors import Overloaded, TuneryError, Unavailable
from cluster.contracts.generation import ErrorEvent

_log = logging.getLogger(__name__)

_NAMES = frozenset(get_args(ErrorEvent.model_fields["error"].annotation))
_STATUS = {
    "InvalidRequest": 400,
    "ContextLengthExceeded": 400,
    "NotFound": 404,
    "Overloaded": 429,
    "Unavailable": 503,
}


def error_event(error: Exception) -> ErrorEvent:
    """The error by the nearest name that the wire knows. What is not ours goes to the log and not to the
    caller."""
    if not isinstance(error, TuneryError):
        _log.error("Unexpected error in a request.", exc_info=error)
        error = TuneryError("The model server failed.", code="internal_error")
    name = next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _NAMES)
    return ErrorEvent.model_validate(
        {"error": name, "message": error.message, "code": error.code, "param": error.param}
    )


def status_of(error: Exception) -> int:
    return _STATUS.get(error_event(error).error, 500) if isinstance(error, TuneryError) else 500


def headers_of(error: Exception) -> dict[str, str]:
    if isinstance(error, Overloaded | Unavailable):
        return {"Retry-After": str(max(1, round(error.retry_after_seconds)))}
    return {}
