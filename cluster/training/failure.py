"""What is told of an error that ended a run."""

from cluster.contracts.errors import InvalidDataset, TrainingFailed, TuneryError
from cluster.contracts.jobs import Failed


def failed_state(error: BaseException) -> Failed:
    """A domain error speaks for itself; of any other only its type is told, the rest is in the log. Only what
    the job's owner can change is a user fault: it would fail again the same way."""
    if isinstance(error, TuneryError):
        return Failed(
            code=error.code or "internal_error",
            message=error.message,
            is_user_fault=isinstance(error, TrainingFailed | InvalidDataset),
        )
    return Failed(
        code="worker_lost",
        message=f"The training process ended unexpectedly ({type(error).__name__}).",
        is_user_fault=False,
    )
