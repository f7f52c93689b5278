"""The errors that Tunery's own code raises. Only `service/api/http/errors.py` maps them to HTTP.

TuneryError                     code, message, param
├── InvalidRequest              the caller sent something that can never work
│   ├── InvalidDataset          a training or validation file breaks a rule; carries its problems
│   └── ContextLengthExceeded   prompt plus completion do not fit the model
├── AuthenticationFailed        no key, or one that is unknown, expired or malformed
├── PermissionDenied            the key is valid but lacks the scope
├── NotFound                    absent, or another tenant's: the same answer for both
├── Conflict                    the resource is in a state that forbids the call
│   └── InProgress              the same request is already being processed; retry soon
├── Overloaded                  too many requests; `retry_after_seconds` says when to retry
│   └── RateLimited             a project or key reached a limit; `unit` says what the limit counts
├── QuotaExceeded               a project or key has used up what it may use; waiting does not help soon
├── Unavailable                 a component that the call needs does not answer; `retry_after_seconds`
│   ├── InsufficientStorage     a disk is full
│   └── EngineStartFailed       a model's engine cannot start; `cause` says why, for programs
├── InvalidConfiguration        the operator's settings or catalogue cannot be used
├── CorruptArtefact             stored bytes differ from their manifest
├── TrainingFailed              a run ended for a reason that its owner must act on
├── PassesTooLarge              a run ended that can go on with smaller passes; `pass_tokens`
└── InternalError               an unexpected fault; the message has the id of the traceback in the log

Every error survives pickling, because errors cross Ray."""

import secrets
from typing import Any, Literal

from cluster.contracts.durations import duration

MODEL_NOT_AVAILABLE = "model_not_available"
"""The code of an Unavailable whose base model is not where the catalogue says."""
CHECK_QUEUED = "check_queued"
"""The code of an Unavailable whose check of a file has not started: other files are checked first."""
STORAGE_UNAVAILABLE = "storage_unavailable"
"""The code of an Unavailable whose object store does not answer, or is busy."""
STORAGE_REFUSED = "storage_refused"
"""The code of an Unavailable whose object store does not permit what was asked of it. Its policy, or this
installation's credentials, clock or bucket must be changed first."""


class TuneryError(Exception):
    """Base of the tree. `code` is for programs; `message` is for people, and safe to show."""

    default_code: str | None = None

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.param = param

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, dict(self.__dict__))


def _rebuild(cls: type[TuneryError], args: tuple[Any, ...], state: dict[str, Any]) -> TuneryError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class InvalidRequest(TuneryError):
    default_code = "invalid_value"


class InvalidDataset(InvalidRequest):
    default_code = "invalid_training_file"
    column: int | None = None
    """Where the text of the line is broken, in characters from 1; None if `param` says where."""
    demand: str | None = None
    """What is allowed, without anything that the file says, so that reports can show it to others."""


class ContextLengthExceeded(InvalidRequest):
    default_code = "context_length_exceeded"


class AuthenticationFailed(TuneryError):
    default_code = "invalid_api_key"


class PermissionDenied(TuneryError):
    default_code = "insufficient_permissions"


class NotFound(TuneryError):
    default_code = "not_found"


class Conflict(TuneryError):
    default_code = "conflict"


class InProgress(Conflict):
    default_code = "request_in_progress"


class _RetryLater(TuneryError):
    def __init__(self, message: str, *, retry_after_seconds: float = 1.0, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after_seconds = retry_after_seconds


class Overloaded(_RetryLater):
    default_code = "rate_limit_exceeded"


class RateLimited(Overloaded):
    def __init__(
        self, message: str, *, unit: Literal["requests", "tokens"], retry_after_seconds: float | None
    ) -> None:
        """`retry_after_seconds`, which the message then names, is None if nobody knows when to retry, or if
        it never helps."""
        advice = (
            "" if retry_after_seconds is None else f" Please try again in {duration(retry_after_seconds)}."
        )
        super().__init__(message + advice, retry_after_seconds=retry_after_seconds or 0.0)
        self.unit = unit
        self.can_wait = retry_after_seconds is not None


class QuotaExceeded(TuneryError):
    default_code = "exceeded_quota"


class Unavailable(_RetryLater):
    default_code = "service_unavailable"


class InsufficientStorage(Unavailable):
    default_code = "insufficient_storage"

    def __init__(self, message: str = "") -> None:
        super().__init__(
            message
            or "The server has no space left to store this. Delete what is not needed, or ask its operator.",
            retry_after_seconds=60.0,
        )


StartFailure = Literal[
    "no_environment",
    "wrong_versions",
    "does_not_fit",
    "out_of_memory",
    "unsupported_model",
    "unsupported_adapters",
    "no_node",
    "timed_out",
    "crashed",
]
"""Why an engine does not start: there is no interpreter or package to run it with; its versions differ from
the cluster's; the devices are too small by plan, or in fact; it does not know the model, or the form of
adapters; no node has room for it; or it takes too long. `crashed` is anything else, which the log
explains."""


class EngineStartFailed(Unavailable):
    """The operator must act: the same settings will fail again."""

    default_code = "engine_start_failed"

    def __init__(self, message: str, *, cause: StartFailure, retry_after_seconds: float = 60.0) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)
        self.cause = cause


class InvalidConfiguration(TuneryError):
    default_code = "invalid_configuration"


class CorruptArtefact(TuneryError):
    default_code = "corrupt_artefact"


class TrainingFailed(TuneryError):
    """Never retried: the same data and configuration would fail again."""

    default_code = "training_failed"


class PassesTooLarge(TuneryError):
    """Another attempt can go on where this one stopped, with passes of at most `pass_tokens` tokens."""

    default_code = "out_of_memory"

    def __init__(self, message: str, *, pass_tokens: int) -> None:
        super().__init__(message)
        self.pass_tokens = pass_tokens


class InternalError(TuneryError):
    """A fault of the platform. A retry may succeed."""

    default_code = "internal_error"

    @staticmethod
    def of(part: str) -> "InternalError":
        """Returns a new error about the component that failed, e.g. "The model server". Log its message with
        the traceback."""
        error_id = f"err_{secrets.token_hex(8)}"
        return InternalError(f"{part} failed unexpectedly; the log has the details under {error_id}.")
