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
from service.db import tables
from service.db.database import now
from service.db.jobs.faults import fail, retry
from service.db.jobs.jobs import PAUSED
from service.db.jobs.publishing import begin_publishing
from service.db.retries import RetryPolicy
from service.db.scheduler.runner_events import CHECKPOINTS_KEPT, record_events
from service.db.scheduler.trained_weights import list_trained_weights
from service.db.transitions import HELD_BY_ATTEMPT, NewEvent, add_events, lock, transition

STARTED = "Fine-tuning job started"
_state: TypeAdapter[RunnerState] = TypeAdapter(RunnerState)


def new_token() -> str:
    """A secret with which one attempt authenticates: 256 random bits, stored as SHA-256."""
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
        """Only reads, so that `Database.read` suffices. Raises AuthenticationFailed if the attempt does not
        exist or has another token."""
        attempt = self._session.get(tables.Attempt, (job_id, number))
        expected = attempt.token_sha256 if attempt is not None else "0" * 64
        if not hmac.compare_digest(token_sha256(token), expected) or attempt is None:
            raise AuthenticationFailed(
                "This token does not belong to the attempt.", code="invalid_attempt_token"
            )
        return attempt

    def sync(self, job_id: str, number: int, token: str, request: SyncRequest) -> SyncResponse:
        """Takes the runner's heartbeat, events and state in one transaction (use `Database.write`).

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
        """The response to the last sync may have been lost, so that a repeated final state is accepted."""
        stored = None if attempt.result is None else _state.validate_python(attempt.result)
        if stored is not None and _storable(stored) == _storable(state):
            return SyncResponse()
        raise Conflict(f"Attempt {attempt.number} of job {attempt.job_id} has ended.", code="fenced")

    def _start(self, job: tables.Job, attempt: tables.Attempt, at: float) -> tables.Job:
        if job.status != JobStatus.STARTING:
            return job
        job = transition(self._session, job, JobStatus.RUNNING, at=at)
        is_resumed = self._has_event(job.id, STARTED)
        message = f"Fine-tuning job resumed by attempt {attempt.number}" if is_resumed else STARTED
        add_events(self._session, job, [NewEvent(message)], at=at)
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
            case Failed():
                requeue(self._session, job, state.message, retries=self._retries, at=at)
            case Stopped() if job.status == JobStatus.PAUSING:
                _pause(self._session, job, [NewEvent(PAUSED)], at)
            case Stopped():
                put_back(self._session, job, at=at)

    def _has_event(self, job_id: str, message: str) -> bool:
        found = exists().where(tables.JobEvent.job_id == job_id, tables.JobEvent.message == message)
        return bool(self._session.scalar(select(found)))


def requeue(session: Session, job: tables.Job, reason: str, *, retries: RetryPolicy, at: float) -> None:
    """Puts the job back into the queue after a platform fault; its next attempt continues from its last
    checkpoint. Fails the job if there were too many faults.

    A job that was pausing is paused instead: its owner did not want another attempt."""
    what = f"Attempt {job.attempt} ended early: {reason}"
    if job.status == JobStatus.PAUSING:
        lost = NewEvent(f"{what} The job will continue from its last checkpoint.", level="warn")
        _pause(session, job, [lost, NewEvent(PAUSED)], at)
        return
    retry(session, job, what, retries=retries, at=at, to=JobStatus.QUEUED)


def put_back(session: Session, job: tables.Job, *, at: float) -> None:
    """Puts the job back into the queue because its attempt was stopped on purpose. That is no fault, so it is
    due at once and none is counted. A job that was pausing is paused. The caller holds the job's lock."""
    stopped = NewEvent(
        f"Attempt {job.attempt} was stopped from outside. The job continues from its last checkpoint."
    )
    if job.status == JobStatus.PAUSING:
        _pause(session, job, [stopped, NewEvent(PAUSED)], at)
        return
    job = transition(session, job, JobStatus.QUEUED, at=at, estimated_finish=None)
    add_events(session, job, [stopped], at=at)


def put_back_all(session: Session) -> None:
    """Puts back the jobs of all attempts, once everything that ran them was stopped on purpose."""
    held = select(tables.Job.id).where(tables.Job.status.in_(HELD_BY_ATTEMPT)).order_by(tables.Job.id)
    for id in session.scalars(held).all():
        job = lock(session, id)
        if job is not None and job.status in HELD_BY_ATTEMPT:
            put_back(session, job, at=now(session))


def _pause(session: Session, job: tables.Job, events: list[NewEvent], at: float) -> None:
    job = transition(session, job, JobStatus.PAUSED, at=at, estimated_finish=None)
    add_events(session, job, events, at=at)


def _storable(state: RunnerState) -> dict[str, Any]:
    """As JSON that every database accepts: NaN and infinity become strings, as on the wire."""
    document: dict[str, Any] = orjson.loads(SyncRequest(state=state).model_dump_json())
    stored: dict[str, Any] = document["state"]
    return stored


def _in_order(request: SyncRequest) -> list[NumberedEvent]:
    return sorted(request.events, key=lambda event: event.seq)


def _check_keys(job_id: str, request: SyncRequest) -> None:
    """A runner may only name objects that its own job wrote."""
    kinds = CheckpointSaved | ResumeStateSaved
    named = [event.manifest_key for event in request.events if isinstance(event, kinds)]
    if isinstance(request.state, Finished):
        named.append(request.state.manifest_key)
    for key in named:
        if not key.startswith(f"jobs/{job_id}/"):
            raise InvalidRequest(f"{key!r} is not an object of job {job_id}.", param="manifest_key")
