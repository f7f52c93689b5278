"""What is told of an error that ended a run."""

import logging

from cluster.contracts.errors import InternalError, InvalidDataset, TrainingFailed, TuneryError
from cluster.contracts.jobs import Failed

logger = logging.getLogger(__name__)


def failed_state(
    error: BaseException, part: str = "Training", *, code: str = InternalError.default_code
) -> Failed:
    """A domain error speaks for itself. Any other goes to the log with its traceback, and the job's owner
    learns that `part` failed and the id under which it is there; `code` is for it. Only what the owner can
    change is a user fault: it would fail again the same way."""
    if not isinstance(error, TuneryError):
        internal = InternalError.of(f"{part} ({type(error).__name__})")
        logger.error("%s", internal.message, exc_info=error)
        return Failed(code=code, message=internal.message, is_user_fault=False)
    return Failed(
        code=error.code or code,
        message=error.message,
        param=error.param,
        is_user_fault=isinstance(error, TrainingFailed | InvalidDataset),
    )
