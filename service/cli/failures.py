"""Failures of commands: a message on stderr, and an exit code.

CommandFailed
├── Refused       a server answered with an error: its status and code
└── Unavailable   a server cannot be reached, or asks to come back later"""

FAILED, USAGE, AUTH, NOT_FOUND, JOB_FAILED, DETACHED = 1, 2, 3, 4, 5, 130
"""Exit codes of commands; 0 is success. Every command that Ctrl-C ends exits with 130."""

_EXIT_CODES = {401: AUTH, 403: AUTH, 404: NOT_FOUND}


class CommandFailed(Exception):
    """Ends a command with a message for its user on stderr and an exit code."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Refused(CommandFailed):
    """A server answered with an error."""

    def __init__(self, message: str, *, status: int, code: str | None = None) -> None:
        named = NOT_FOUND if code is not None and code.endswith("_not_found") else FAILED
        super().__init__(message, _EXIT_CODES.get(status, named))
        self.status = status
        self.code = code

    @property
    def is_about_the_request(self) -> bool:
        """Whether the error concerns only this request, so that other requests may be answered."""
        return self.status in (400, 413, 422)


class Unavailable(CommandFailed):
    """A server cannot be reached, or asks to come back later. Sending the request again may help, and does no
    harm: the server has done nothing, or the request is one that may be repeated."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        """None if the server did not say."""


def reason_of(error: OSError) -> str:
    """The reason in words, with the file if it is known."""
    reason = error.strerror or str(error)
    return reason if error.filename is None else f"{error.filename}: {reason}"
