"""Classifies failures of a step of a job, an import or an export, and decides whether it is retried."""

from dataclasses import dataclass
from typing import Literal

from cluster.contracts.errors import (
    CorruptArtefact,
    InternalError,
    InvalidConfiguration,
    InvalidRequest,
    Overloaded,
    TrainingFailed,
    TuneryError,
    Unavailable,
)
from service.db import tables
from service.db.retries import RetryPolicy

_RETRIES = RetryPolicy()
_WAIT_SECONDS = 2.0
"""Pause between two tries while a dependency does not answer."""
_LAPSE_SECONDS = 600.0
"""If there was no try for this long, the step was not waiting for the dependency but for the scheduler."""


@dataclass(frozen=True, slots=True)
class Trouble:
    kind: Literal["wait", "refusal", "fault"]
    """wait: a dependency does not answer. refusal: the error would recur. fault: the platform failed, which
    includes our own bugs."""
    error: TuneryError

    @property
    def code(self) -> str:
        """The error code that the owner of the failed object sees."""
        return "internal_error" if self.kind == "fault" else self.error.code or "internal_error"


def triage(error: Exception, what: str) -> Trouble:
    """`what` starts a sentence, such as "Validation"."""
    if isinstance(error, Unavailable | Overloaded):
        return Trouble("wait", error)
    if isinstance(error, InvalidRequest | InvalidConfiguration | CorruptArtefact | TrainingFailed):
        return Trouble("refusal", error)
    return Trouble("fault", error if isinstance(error, TuneryError) else InternalError.of(what))


def is_last_try(
    row: tables.ModelImport | tables.ModelExport, trouble: Trouble, *, timeout_seconds: float, at: float
) -> bool:
    """Counts the trouble on the row, so that the count survives restarts. Returns whether the row has failed:
    it may wait for `timeout_seconds` without interruption, and has as many tries after faults as a job."""
    if trouble.kind == "refusal":
        return True
    if trouble.kind == "wait":
        if row.waiting_since is None or at - (row.retry_at or at) > _LAPSE_SECONDS:
            row.waiting_since = at
        row.retry_at = at + _WAIT_SECONDS
        return at - row.waiting_since > timeout_seconds
    row.faults, row.waiting_since = row.faults + 1, None
    row.retry_at = at + _RETRIES.pause_seconds(row.faults)
    return row.faults >= _RETRIES.max_faults
