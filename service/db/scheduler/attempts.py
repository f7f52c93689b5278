"""Attempts as their runners see them: authentication and sync."""

import hashlib
import hmac
import secrets
from typing import Any

import orjson
from pydantic import TypeAdapter
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from cluster.contracts.errors import AuthenticationFailed, Conflict, InvalidRequest
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.contracts.jobs import (
    CheckpointSaved,
    Failed,
    Finished,
    JobStatus,
    NumberedEvent,
    ResumeStateSaved,
    RunnerState,
    Running,
    Stopped,
    SyncRequest,
    SyncResponse,
)
from cluster.contracts.plan import MICROBATCH_TOKENS
from service.db import tables
from service.db.database import now
from service.db.jobs.faults import fail, retry, storable
from service.db.jobs.jobs import PAUSED
from service.db.jobs.publishing import begin_publishing
from service.db.retries import RetryPolicy
from service.db.scheduler.node_faults import FAULTS, SECONDS, node_faults
from service.db.scheduler.runner_events import CHECKPOINTS_KEPT, record_events
from service.db.scheduler.trained_weights import list_trained_weights
from service.db.transitions import HELD_BY_ATTEMPT, NewEvent, add_events, lock, transition

DISPLACED = (
    "Pausing to free devices for a job of a higher priority; training resumes from the saved checkpoint"
)
MAINTENANCE = "Pausing for maintenance; training resumes from the saved checkpoint after it"
FOR_MODELS = "Pausing to free GPUs for model serving; training resumes from the saved checkpoint"
MADE_ROOM = "Checkpoint saved and devices freed, moving job to queued state"
RESIZES = "Checkpoint saved, moving job to queued state"
_state: TypeAdapter[RunnerState] = TypeAdapter(RunnerState)


def new_token() -> str:
    """A secret that authenticates one attempt: 256 random bits, stored as SHA-256."""
    return secrets.token_hex(32)


def token_sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class Attempts:
    """Attempts of all tenants. For runners and the service itself, never for clients."""

    def __init__(
        self,
        session: Session,
        retries: RetryPolicy = RetryPolicy(),
        *,
        checkpoints_kept: int = CHECKPOINTS_KEPT,
    ) -> None:
        self._session = session
        self._retries = retries
        self._checkpoints_kept = checkpoints_kept

    def authenticate(self, job_id: str, number: int, token: str) -> tables.Attempt:
        """Only reads, so `Database.read` is enough. Raises AuthenticationFailed if the attempt does not exist
        or has another token."""
        attempt = self._session.get(tables.Attempt, (job_id, number))
        expected = attempt.token_sha256 if attempt is not None else "0" * 64
        if not hmac.compare_digest(token_sha256(token), expected) or attempt is None:
            raise AuthenticationFailed(
                "This token does not belong to the attempt.", code="invalid_attempt_token"
            )
        return attempt

    def sync(self, job_id: str, number: int, token: str, request: SyncRequest) -> SyncResponse:
        """Records the runner's heartbeat, events and state in one transaction (use `Database.write`).

        Repeating a request changes nothing and returns the same response. The newest attempt of a cancelled
        job gets the command `cancel`, and its events are dropped.

        Raises AuthenticationFailed if the attempt does not exist or has another token, Conflict (`fenced`) if
        there is a newer attempt or this one has ended, and InvalidRequest if the request names another job's
        objects.
        """
        job = lock(self._session, job_id)
        attempt = self.authenticate(job_id, number, token)
        assert job is not None, "an attempt has a job"
        at = now(self._session)
        if number != job.attempt:
            raise Conflict(f"Attempt {number} of job {job_id} was replaced by a newer one.", code="fenced")
        if job.status == JobStatus.CANCELLED:
            return SyncResponse(command="cancel")
        if job.status not in HELD_BY_ATTEMPT:
            return self._answer_ended(attempt, request.state)
        _check_keys(job_id, request)
        attempt.heartbeat_at = at
        if attempt.state != "running":
            attempt.state = "running"
        job = self._start(job, attempt, at)
        events, kept = _in_order(request), self._checkpoints_kept
        record_events(self._session, job, number, events, at=at, checkpoints_kept=kept)
        self._settle(job, attempt, request.state, at)
        if job.status == JobStatus.PAUSING and isinstance(request.state, Running):
            return SyncResponse(command="pause")
        return SyncResponse()

    def _answer_ended(self, attempt: tables.Attempt, state: RunnerState) -> SyncResponse:
        """Accepts a repeated final state, because the response to the last sync may have been lost."""
        stored = None if attempt.result is None else _state.validate_python(attempt.result)
        if stored is not None and _storable(stored) == _storable(state):
            return SyncResponse()
        raise Conflict(f"Attempt {attempt.number} of job {attempt.job_id} has ended.", code="fenced")

    def _start(self, job: tables.Job, attempt: tables.Attempt, at: float) -> tables.Job:
        if job.status != JobStatus.STARTING:
            return job
        job = transition(self._session, job, JobStatus.RUNNING, at=at)
        message = "Fine-tuning job started"
        if self._has_started_before(attempt):
            message = f"Fine-tuning job resumed by attempt {attempt.number}"
        add_events(self._session, job, [NewEvent(message), *_workers_event(job, attempt)], at=at)
        return job

    def _settle(self, job: tables.Job, attempt: tables.Attempt, state: RunnerState, at: float) -> None:
        if isinstance(state, Running):
            return
        attempt.result = _storable(state)
        self._session.flush()
        match state:
            case Finished():
                weights = list_trained_weights(self._session, job, state, at=at)
                begin_publishing(
                    self._session,
                    job,
                    weights=weights,
                    trained_tokens=state.trained_tokens,
                    report=attempt.result["report"],
                    at=at,
                )
            case Failed(is_user_fault=True):
                fail(self._session, job, code=state.code, message=state.message, param=state.param, at=at)
            case Failed(pass_tokens=int(tokens)) if tokens < _pass_tokens(job):
                go_on_smaller(self._session, job, state.message, tokens, at=at)
            case Failed():
                requeue(self._session, job, state.message, retries=self._retries, at=at)
            case Stopped() if job.status == JobStatus.PAUSING:
                _end_pausing(self._session, job, [], at)
            case Stopped():
                put_back(self._session, job, at=at, reason=state.reason)

    def _has_started_before(self, attempt: tables.Attempt) -> bool:
        """Whether an earlier attempt of the job received its devices."""
        other = tables.Attempt
        earlier = (other.job_id == attempt.job_id) & (other.number < attempt.number)
        return bool(self._session.scalar(select(exists().where(earlier, other.started_at.is_not(None)))))


def _workers_event(job: tables.Job, attempt: tables.Attempt) -> list[NewEvent]:
    """The event that says with how many workers an elastic job runs now; empty for other jobs."""
    workers = attempt.num_workers
    if not isinstance(job.training.get("num_workers"), dict) or job.config is None or workers is None:
        return []
    most = max(plan.num_workers for plan in TrainingConfig.model_validate(job.config).plans)
    message = f"The job runs with {workers} worker(s), of at most {most}"
    return [NewEvent(message, data={"num_workers": workers})]


def requeue(session: Session, job: tables.Job, reason: str, *, retries: RetryPolicy, at: float) -> None:
    """Puts the job back into the queue after a platform fault; its next attempt continues from its last
    checkpoint. Fails the job if there were too many faults.

    A job that was pausing is then paused: whoever paused it did not want this attempt to continue."""
    what = f"Attempt {job.attempt} ended early: {reason}"
    if job.status == JobStatus.PAUSING:
        lost = NewEvent(f"{what} The job will continue from its last checkpoint.", level="warn")
        _end_pausing(session, job, [lost], at)
        return
    retry(session, job, what, retries=retries, at=at, to=JobStatus.QUEUED)
    if job.status == JobStatus.QUEUED:
        add_events(
            session,
            job,
            [NewEvent(_avoided(node), level="warn") for node in _new_faults(session, job, at)],
            at=at,
        )


def _new_faults(session: Session, job: tables.Job, at: float) -> list[str]:
    """The nodes of the job's last attempt that are avoided from now on."""
    attempt = session.get_one(tables.Attempt, (job.id, job.attempt))
    counts = node_faults(session, at) if attempt.nodes else {}
    return [node for node in attempt.nodes or () if counts.get(node) == FAULTS]


def _avoided(node: str) -> str:
    return (
        f"Attempts of {FAULTS} jobs in a row have failed on node {node[:12]}. For "
        f"{SECONDS / 60:.0f} minutes, no job starts there if its pool has other nodes."
    )


def go_on_smaller(session: Session, job: tables.Job, reason: str, tokens: int, *, at: float) -> None:
    """Puts the job back into the queue because its passes did not fit into memory; the passes of its next
    attempts have at most `tokens` tokens. This is not a fault: passes shrink until they fit or consist of
    single examples. A job that was pausing is then paused. The caller holds the job's lock."""
    smaller = NewEvent(
        f"Attempt {job.attempt} ended early: {storable(reason)} The job continues from its last checkpoint "
        f"with passes of at most {tokens} tokens, which changes no result but the draws of dropout.",
        level="warn",
    )
    config = {**(job.config or {}), "microbatch_tokens": tokens}
    config |= {
        "alternatives": [_with_passes(plan, config, tokens) for plan in config.get("alternatives", [])]
    }
    if job.status == JobStatus.PAUSING:
        _end_pausing(session, job, [smaller], at, config=config)
        return
    job = transition(session, job, JobStatus.QUEUED, at=at, estimated_finish=None, config=config)
    add_events(session, job, [smaller], at=at)


def _with_passes(plan: dict[str, Any], config: dict[str, Any], tokens: int) -> dict[str, Any]:
    """The limit applies to all numbers of workers that an elastic job may have in this pool."""
    own, other = ((each.get("footprint") or {}).get("pool") for each in (config, plan))
    return plan if own != other else {**plan, "microbatch_tokens": min(plan["microbatch_tokens"], tokens)}


def put_back(session: Session, job: tables.Job, *, at: float, reason: str | None = None) -> None:
    """Puts the job back into the queue because its attempt was stopped on purpose. This is not a fault, so
    none is counted and the job is due at once. A job that was pausing is then paused. The caller holds the
    job's lock."""
    how = "was stopped from outside." if reason is None else f"was stopped: {storable(reason)}"
    stopped = NewEvent(f"Attempt {job.attempt} {how} The job continues from its last checkpoint.")
    if job.status == JobStatus.PAUSING:
        _end_pausing(session, job, [stopped], at)
        return
    job = transition(session, job, JobStatus.QUEUED, at=at, estimated_finish=None)
    add_events(session, job, [stopped], at=at)


def put_back_all(session: Session) -> None:
    """Puts back the jobs of all attempts, after everything that ran them was stopped on purpose."""
    held = select(tables.Job.id).where(tables.Job.status.in_(HELD_BY_ATTEMPT)).order_by(tables.Job.id)
    for id in session.scalars(held).all():
        job = lock(session, id)
        if job is not None and job.status in HELD_BY_ATTEMPT:
            put_back(session, job, at=now(session))


def _pass_tokens(job: tables.Job) -> int:
    """The most tokens that a pass of the job's attempts may have."""
    return int((job.config or {}).get("microbatch_tokens", MICROBATCH_TOKENS))


def _end_pausing(
    session: Session, job: tables.Job, events: list[NewEvent], at: float, **changes: Any
) -> None:
    """Keeps the job paused, or puts it back into the queue if the scheduler paused it."""
    to, message = (JobStatus.QUEUED, MADE_ROOM) if job.is_displaced else (JobStatus.PAUSED, PAUSED)
    if job.is_displaced and job.resize_to is not None:
        message = RESIZES
    job = transition(session, job, to, at=at, estimated_finish=None, **changes)
    add_events(session, job, [*events, NewEvent(message)], at=at)


def _storable(state: RunnerState) -> dict[str, Any]:
    """The state as JSON that every database accepts: NaN and infinity become strings, as on the wire."""
    document: dict[str, Any] = orjson.loads(SyncRequest(state=state).model_dump_json())
    stored: dict[str, Any] = document["state"]
    return stored


def _in_order(request: SyncRequest) -> list[NumberedEvent]:
    return sorted(request.events, key=lambda event: event.seq)


def _check_keys(job_id: str, request: SyncRequest) -> None:
    """Checks that the runner names only objects that its own job wrote."""
    kinds = CheckpointSaved | ResumeStateSaved
    named = [event.manifest_key for event in request.events if isinstance(event, kinds)]
    if isinstance(request.state, Finished):
        named.append(request.state.manifest_key)
    for key in named:
        if not key.startswith(f"jobs/{job_id}/"):
            raise InvalidRequest(f"{key!r} is not an object of job {job_id}.", param="manifest_key")
