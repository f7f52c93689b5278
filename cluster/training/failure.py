"""Turns the error that ended a run into the state that the runner reports."""

import logging

from cluster.contracts.errors import (
    InternalError,
    InvalidConfiguration,
    InvalidDataset,
    PassesTooLarge,
    TrainingFailed,
    TuneryError,
)
from cluster.contracts.jobs import Failed

logger = logging.getLogger(__name__)


def failed_state(
    error: BaseException, part: str = "Training", *, code: str = InternalError.default_code
) -> Failed:
    """The state for a domain error has its code and message. Any other error goes to the log with its
    traceback; its state has `code`, and a message that says that `part` failed and gives the id of the log
    entry. Errors that the job's owner or the operator must mend are user faults: another attempt would fail
    the same way.
    """
    if not isinstance(error, TuneryError):
        internal = InternalError.of(f"{part} ({type(error).__name__})")
        logger.error("%s", internal.message, exc_info=error)
        return Failed(code=code, message=internal.message, is_user_fault=False)
    return Failed(
        code=error.code or code,
        message=error.message,
        param=error.param,
        is_user_fault=isinstance(error, TrainingFailed | InvalidDataset | InvalidConfiguration),
        pass_tokens=error.pass_tokens if isinstance(error, PassesTooLarge) else None,
    )
