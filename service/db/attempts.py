"""An attempt's own voice: the runner's sync."""

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
    RunnerEvent,
    RunnerState,
    Running,
    Stopped,
    SyncRequest,
    SyncResponse,
)
from service.db import tables
from service.db.database import now
from service.db.faults import RESET_FAULTS, fail, retry
from service.db.retries import RetryPolicy
from service.db.runner_events import record_events
from service.db.transitions import HELD_BY_ATTEMPT, NewEvent, add_events, lock, transition

STARTED = "Fine-tuning job started"
PUBLISHING = "Training is complete; the model is checked as it is served before it is published"
_state: TypeAdapter[RunnerState] = TypeAdapter(RunnerState)


def new_token() -> str:
    """What one attempt proves itself with: 256 random bits, stored as SHA-256."""
    return secrets.token_hex(32)


def token_sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class Attempts:
    """All tenants' attempts: the service's own view, never a client's."""

    def __init__(self, session: Session, retries: RetryPolicy = RetryPolicy()) -> None:
        self._session = session
        self._retries = retries

    def authenticate(self, job_id: str, number: int, token: str) -> tables.Attempt:
        """Only reads (use `Database.read`). Raises AuthenticationFailed if the token is not this attempt's,
        or if there is no such attempt."""
        attempt = self._session.get(tables.Attempt, (job_id, number))
        expected = attempt.token_sha256 if attempt is not None else "0" * 64
        if not hmac.compare_digest(token_sha256(token), expected) or attempt is None:
            raise AuthenticationFailed("This token is not the attempt's.", code="invalid_attempt_token")
        return attempt

    def sync(self, job_id: str, number: int, token: str, request: SyncRequest) -> SyncResponse:
        """The runner's heartbeat, events and state, in one transaction (use `Database.write`).

        Repeating a request changes nothing and is answered alike. A cancelled job's newest attempt is told
        `cancel`; its events are dropped. Raises AuthenticationFailed if the token is not this attempt's (or
        there is no such attempt), Conflict (`fenced`) if a newer attempt exists or this one has ended, and
        InvalidRequest if it names another job's objects.
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
        record_events(self._session, job, number, _in_order(request), at=at)
        self._settle(job, attempt, request.state, at)
        if job.status == JobStatus.PAUSING and isinstance(request.state, Running):
            return SyncResponse(command="pause")
        return SyncResponse()

    def _answer_ended(self, attempt: tables.Attempt, state: RunnerState) -> SyncResponse:
        """The answer to the last sync may have been lost: the same words again are accepted again."""
        said = None if attempt.result is None else _state.validate_python(attempt.result)
        if said is not None and _storable(said) == _storable(state):
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
                job = transition(
                    self._session,
                    job,
                    JobStatus.PUBLISHING,
                    at=at,
                    trained_tokens=state.trained_tokens,
                    report=attempt.result["report"],
                    **RESET_FAULTS,
                )
                add_events(self._session, job, [NewEvent(PUBLISHING)], at=at)
            case Failed(is_user_fault=True):
                fail(self._session, job, code=state.code, message=state.message, param=state.param, at=at)
            case Failed():
                requeue(self._session, job, state.message, retries=self._retries, at=at)
            case Stopped() if job.status == JobStatus.PAUSING:
                transition(self._session, job, JobStatus.PAUSED, at=at, estimated_finish=None)
            case Stopped():
                fault = Failed(
                    code="stopped", message="The runner was stopped from outside.", is_user_fault=False
                )
                attempt.result = _storable(fault)
                requeue(self._session, job, fault.message, retries=self._retries, at=at)

    def _has_event(self, job_id: str, message: str) -> bool:
        found = exists().where(tables.JobEvent.job_id == job_id, tables.JobEvent.message == message)
        return bool(self._session.scalar(select(found)))


def requeue(session: Session, job: tables.Job, reason: str, *, retries: RetryPolicy, at: float) -> None:
    """Gives the job back to the queue after a fault that is not its owner's, from where its next attempt goes
    on from its last checkpoint; or ends it, if there were too many."""
    what = f"Attempt {job.attempt} ended early: {reason}"
    retry(session, job, what, retries=retries, at=at, to=JobStatus.QUEUED)


def _storable(state: RunnerState) -> dict[str, Any]:
    """As JSON that every database takes: a number that is none is a word in it, as on the wire."""
    document: dict[str, Any] = orjson.loads(SyncRequest(state=state).model_dump_json())
    stored: dict[str, Any] = document["state"]
    return stored


def _in_order(request: SyncRequest) -> list[RunnerEvent]:
    return sorted(request.events, key=lambda event: event.seq)


def _check_keys(job_id: str, request: SyncRequest) -> None:
    """A runner may only speak of what its own job wrote."""
    named = [event.manifest_key for event in request.events if isinstance(event, CheckpointSaved)]
    if isinstance(request.state, Finished):
        named.append(request.state.manifest_key)
    for key in named:
        if not key.startswith(f"jobs/{job_id}/"):
            raise InvalidRequest(f"{key!r} is not an object of job {job_id}.", param="manifest_key")
