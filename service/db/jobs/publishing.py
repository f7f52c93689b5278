"""The state of publishing a trained job's weights.

Once the weights and their manifest are stored, training is safe: the weights are one of the job's
checkpoints, which can be downloaded and used whatever happens to publishing. Publishing is tried until it
succeeds, its time is over, or the weights are refused. A person can then ask for it again.
"""

from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.contracts.errors import MODEL_NOT_AVAILABLE, Conflict, TuneryError
from cluster.contracts.frozen import FrozenModel
from cluster.contracts.jobs import JobStatus
from service.db import tables
from service.db.jobs.faults import RESET_FAULTS, fail, storable
from service.db.retries import PublishPolicy
from service.db.transitions import NewEvent, add_events, transition

TRAINED = "Training is complete, and its weights are stored"
PUBLISHING = "The served model is checked before it is published"
WAITS_FOR_JOBS = "gpu_in_use"
"""Error code of tries that failed because jobs hold the model's GPUs."""
WAITS = frozenset({"model_not_ready", WAITS_FOR_JOBS})
"""Error codes of tries that failed because the model was loading, or had no GPUs yet."""
_WAIT_SECONDS = 60.0
"""The longest pause between two such tries: GPUs that become free for the model are idle until the next
try."""
_AGAIN = "The trained weights stay, as the checkpoint '{}'. Republishing the job tries again."


class PublishFault(FrozenModel):
    code: str
    message: str


class Publishing(FrozenModel):
    """Stored on the job's row, together with the time of the next try (`retry_at`)."""

    weights: str
    """Name of the checkpoint with the trained weights: `ft:…:ckpt-step-N`."""
    trained_at: float
    since: float
    """When publishing began, or was asked for again."""
    tries: int = 0
    """Failed tries since then."""
    waits: int = 0
    """How many of these failed with one of `WAITS`."""
    waited_until: float | None = None
    """When a try last found jobs on the model's GPUs."""
    fault: PublishFault | None = None
    """Why the last try failed."""
    gate: Literal["check", "skip"] = "check"
    regression: Literal["check", "allow"] = "check"
    """Whether the job's own limit on forgetting applies."""


def begin_publishing(
    session: Session,
    job: tables.Job,
    *,
    weights: str,
    trained_tokens: int,
    report: dict[str, Any] | None,
    at: float,
) -> tables.Job:
    """Records that training is complete. The caller holds the job's lock and has listed the checkpoint
    `weights`."""
    publishing = Publishing(weights=weights, trained_at=at, since=at)
    job = transition(
        session,
        job,
        JobStatus.PUBLISHING,
        at=at,
        trained_at=int(at),
        trained_tokens=trained_tokens,
        report=report,
        publishing=publishing.model_dump(mode="json"),
        estimated_finish=None,
        **RESET_FAULTS,
    )
    add_events(session, job, [NewEvent(TRAINED), NewEvent(PUBLISHING)], at=at)
    return job


def postpone_publishing(
    session: Session, job: tables.Job, error: TuneryError, policy: PublishPolicy, *, at: float
) -> None:
    """Records why a try failed, and when the next one is due. Fails the job if its time is over. The caller
    holds the job's lock."""
    before = publishing_of(job)
    code, reason = error.code or "internal_error", storable(error.message)
    if at - before.since >= policy.timeout_seconds:
        # The operator has to fix this, so the error keeps its code.
        code = code if code == MODEL_NOT_AVAILABLE else "publish_timeout"
        seconds = at - before.since
        waited = (
            f"Publishing was tried {before.tries + 1} times in {seconds:.0f} seconds, which is the limit."
        )
        fail(
            session, job, code=code, message=f"{waited} Last: {reason} {_AGAIN.format(before.weights)}", at=at
        )
        return
    pause = policy.pause_seconds(before.tries + 1)
    if code in WAITS:
        pause = min(pause, _WAIT_SECONDS)
    after = before.model_copy(
        update={
            "tries": before.tries + 1,
            "waits": before.waits + (code in WAITS),
            "waited_until": at if code == WAITS_FOR_JOBS else before.waited_until,
            "fault": PublishFault(code=code, message=reason),
        }
    )
    job.publishing, job.retry_at = after.model_dump(mode="json"), at + pause
    if code in WAITS and before.fault is not None and before.fault.code == code and pause == _WAIT_SECONDS:
        # Publishing may be retried for days. The job shows the number of tries.
        return
    message = f"Publishing try {after.tries} failed: {reason} It is tried again in {pause:.0f} seconds."
    data = {"error_code": code, "next_try_at": int(at + pause)}
    add_events(session, job, [NewEvent(message, level="warn", data=data)], at=at)


def refuse_publishing(
    session: Session, job: tables.Job, error: TuneryError, *, keeps_weights: bool, at: float
) -> None:
    """Fails the job, because its weights cannot be published as they are. The caller holds its lock."""
    again = f" {_AGAIN.format(publishing_of(job).weights)}" if keeps_weights else ""
    code = error.code or "internal_error"
    fail(session, job, code=code, message=f"{error.message}{again}", param=error.param, at=at)


def republish(
    session: Session,
    job: tables.Job,
    *,
    gate: Literal["check", "skip"],
    regression: Literal["check", "allow"],
    at: float,
) -> tables.Job:
    """Publishes the job again at once, with its full time limit. The caller holds the job's lock.

    Raises Conflict: `not_trained` if there are no trained weights, `job_ended` if the job has succeeded or
    was cancelled, `weights_deleted` if their checkpoint was deleted."""
    status = JobStatus(job.status)
    if status.is_terminal and status is not JobStatus.FAILED:
        raise Conflict(f"Job {job.id} has {status.value}; it cannot be published again.", code="job_ended")
    if job.publishing is None:
        raise Conflict(
            f"Job {job.id} is {status.public}, and its training is not complete: there is nothing to "
            "publish.",
            code="not_trained",
        )
    before = publishing_of(job)
    found = select(tables.Checkpoint.id).where(
        tables.Checkpoint.job_id == job.id, tables.Checkpoint.model_name == before.weights
    )
    if session.scalar(found) is None:
        raise Conflict(
            f"The checkpoint '{before.weights}' with the trained weights was deleted.", code="weights_deleted"
        )
    after = before.model_copy(
        update={
            "since": at,
            "tries": 0,
            "waits": 0,
            "waited_until": None,
            "gate": gate,
            "regression": regression,
        }
    )
    changes = {"publishing": after.model_dump(mode="json"), **RESET_FAULTS}
    if status is JobStatus.FAILED:
        job = transition(session, job, JobStatus.PUBLISHING, at=at, **changes)
    else:
        # A try that is in progress continues, but its result is not recorded: the new one decides.
        job.version += 1
        for column, value in changes.items():
            setattr(job, column, value)
    skipped = [
        what
        for what, is_skipped in (
            ("the publish gate", gate == "skip"),
            ("training.max_regression", regression == "allow"),
        )
        if is_skipped
    ]
    message = "Publishing is tried again, as requested" + (
        f", without {' and '.join(skipped)}" if skipped else ""
    )
    add_events(session, job, [NewEvent(message)], at=at)
    return job


def publishing_of(job: tables.Job) -> Publishing:
    return Publishing.model_validate(job.publishing)
