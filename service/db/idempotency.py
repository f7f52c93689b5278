"""Records create requests, and decides which of them belong to the same call and which one does the work.

`service.api.jobs.idempotency` explains the whole mechanism."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import delete, select, tuple_
from sqlalchemy.orm import Session

from cluster.contracts.errors import InProgress, InvalidRequest
from service.db import tables
from service.db.database import now
from service.db.inserting import insert
from service.db.jobs.jobs import Job, Jobs
from service.db.tenancy import Tenant

IN_PROGRESS_SECONDS = 30.0
"""A request that has not been answered after this time is presumed dead."""
_LONGEST_BACKOFF_SECONDS = 10.0
"""Longest pause between two requests of an SDK. openai's waits at most 8 seconds, unless a response asks for
more."""
_FORGOTTEN_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """One HTTP request of a client's call to create a job."""

    api_key_id: str
    request_sha256: str
    began: float
    """When the request arrived, by `time.monotonic`."""
    retry_count: int = 0
    """How often the client has already retried it."""
    timeout: float | None = None
    """Seconds after which the client gives up waiting for a response."""
    idempotency_key: str | None = None
    """The client's own name for the call."""
    unrecorded_began: float | None = None
    """When the first request with this key arrived that could not be recorded here, by `time.monotonic`."""

    @property
    def key(self) -> str:
        if self.idempotency_key is not None:
            return f"key:{self.idempotency_key}"
        return f"retries:{self.api_key_id}:{self.request_sha256}"


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to do the work of a call, until a later request of the call takes over."""

    key: str
    call: str
    owner: str


class IdempotencyKeys:
    """The recorded calls of one tenant."""

    def __init__(self, session: Session, tenant: Tenant, *, keep_seconds: float) -> None:
        self._session = session
        self._tenant = tenant
        self._keep_seconds = keep_seconds

    def begin(self, request: CreateRequest) -> Claim | Job:
        """Records the request. Returns the job that its call has already created, or the right to create it.

        Raises InProgress while another request of the call does the work, unless this one takes over from it,
        and InvalidRequest if the client's key was used for a different request."""
        self._forget_expired()
        row = self._locked(request.key)
        at = now(self._session)
        # Converts this machine's monotonic time to the database's clock.
        clock = at - time.monotonic()
        if row.expires_at <= at:
            return self._new_call(row, request, at, clock)
        if request.idempotency_key is not None:
            return self._same_key(row, request, at)
        if not _is_same_call(row, request, clock):
            return self._new_call(row, request, at, clock)
        if request.retry_count == 0:
            row.is_first_seen = True
            if row.job_id is None:
                raise _in_progress()
        if (job := self._job(row)) is None:
            return self._claim(row, at)
        if job.status.is_terminal:
            return self._new_call(row, request, at, clock)
        row.answered_at = at
        return job

    def finish(self, claim: Claim, create: Callable[[], Job]) -> Job:
        """Returns the job that `create` makes, or the one that a later request of the same call has made in
        the meantime. Raises InProgress if such a request has taken over but has no job yet."""
        row = self._locked(claim.key)
        if row.call == claim.call and row.owner != claim.owner:
            if (job := self._job(row)) is None:
                raise _in_progress()
            return job
        job = create()
        # A later call with the same key and body may own the row by now. Both jobs are wanted.
        if row.owner == claim.owner:
            row.job_id, row.answered_at = job.id, now(self._session)
        return job

    def give_up(self, claim: Claim) -> None:
        """Releases the claim after a failure: the next request begins a new call."""
        row = tables.IdempotencyKey
        self._session.execute(
            delete(row).where(
                row.project_id == self._tenant.project_id,
                row.key == claim.key,
                row.owner == claim.owner,
                row.job_id.is_(None),
            )
        )

    def _same_key(self, row: tables.IdempotencyKey, request: CreateRequest, at: float) -> Claim | Job:
        if row.request_sha256 != request.request_sha256:
            raise InvalidRequest(
                f"The Idempotency-Key '{request.idempotency_key}' was used for another request; use a new "
                "key for a new request, and the same body for the same key.",
                code="idempotency_key_reused",
                param="Idempotency-Key",
            )
        if (job := self._job(row)) is not None:
            return job
        if row.claimed_at + IN_PROGRESS_SECONDS > at:
            raise _in_progress()
        return self._claim(row, at)

    def _new_call(self, row: tables.IdempotencyKey, request: CreateRequest, at: float, clock: float) -> Claim:
        row.request_sha256 = request.request_sha256
        row.call = secrets.token_hex(8)
        row.is_first_seen = request.retry_count == 0
        row.began_at = clock + request.began
        row.answered_at = row.job_id = None
        row.expires_at = at + self._keep_seconds
        return self._claim(row, at)

    def _claim(self, row: tables.IdempotencyKey, at: float) -> Claim:
        row.owner = secrets.token_hex(8)
        row.claimed_at = at
        return Claim(row.key, row.call, row.owner)

    def _job(self, row: tables.IdempotencyKey) -> Job | None:
        return None if row.job_id is None else Jobs(self._session, self._tenant).get(row.job_id)

    def _locked(self, key: str) -> tables.IdempotencyKey:
        """Returns the key's row, locked; a new row is already expired. Simultaneous requests wait here for
        one another."""
        table = tables.IdempotencyKey
        self._session.execute(
            insert(self._session, table)
            .values(
                project_id=self._tenant.project_id,
                key=key,
                organization_id=self._tenant.organization_id,
                request_sha256="",
                call="",
                owner="",
                is_first_seen=False,
                began_at=0.0,
                claimed_at=0.0,
                expires_at=0.0,
            )
            .on_conflict_do_nothing()
        )
        return self._session.scalars(
            select(table)
            .where(table.project_id == self._tenant.project_id, table.key == key)
            .with_for_update()
        ).one()

    def _forget_expired(self) -> None:
        """Deletes a few expired rows, of any tenant. Skips rows that another request has locked."""
        row = tables.IdempotencyKey
        expired = (
            select(row.project_id, row.key)
            .where(row.expires_at <= now(self._session))
            .limit(_FORGOTTEN_AT_ONCE)
            .with_for_update(skip_locked=True)
        )
        self._session.execute(delete(row).where(tuple_(row.project_id, row.key).in_(expired)))


def _is_same_call(row: tables.IdempotencyKey, request: CreateRequest, clock: float) -> bool:
    """Whether a request without an idempotency key belongs to the latest call with its API key and body.
    `clock`: the database's time minus `time.monotonic`."""
    began_at = clock + request.began
    if request.retry_count == 0:
        # A first request begins a call, unless its own retry has overtaken it.
        return not row.is_first_seen and began_at < row.began_at
    if request.unrecorded_began is not None and clock + request.unrecorded_began > row.began_at:
        return False
    if row.answered_at is None or began_at <= row.answered_at:
        return True
    # The response was lost: the client noticed at once, or when it timed out.
    tolerance = request.retry_count * _LONGEST_BACKOFF_SECONDS
    if began_at - row.answered_at <= tolerance:
        return True
    return request.timeout is not None and abs(began_at - row.began_at - request.timeout) <= tolerance


def _in_progress() -> InProgress:
    return InProgress("The same request is being worked on; send it again in a second.")
