"""Create requests and the tries that clients make at them: which belong together, and which does the work.

`service.api.jobs.idempotency` tells how that works as a whole.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import delete, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from cluster.contracts.errors import InProgress, InvalidRequest
from service.db import tables
from service.db.database import now
from service.db.jobs import Job, Jobs
from service.db.tenancy import Tenant

IN_PROGRESS_SECONDS = 30.0
"""After so long, a try that has not answered is given up for dead."""
_LONGEST_BACKOFF_SECONDS = 10.0
"""Between two tries of an SDK: openai's waits 8 seconds at most, unless an answer has asked for more."""
_FORGOTTEN_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """One sending of a create request."""

    api_key_id: str
    request_sha256: str
    began: float
    """By `time.monotonic`."""
    retry_count: int = 0
    """How often its client has sent the request before."""
    timeout: float | None = None
    """Seconds after which the client gives up a try that is not answered."""
    idempotency_key: str | None = None
    """The client's own name for the call."""
    unrecorded_began: float | None = None
    """When a first try at this request began that could not be noted here, by `time.monotonic`."""

    @property
    def key(self) -> str:
        if self.idempotency_key is not None:
            return f"key:{self.idempotency_key}"
        return f"retries:{self.api_key_id}:{self.request_sha256}"


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to do the work of a call, until a later try of it takes over."""

    key: str
    call: str
    owner: str


class IdempotencyKeys:
    """Of one tenant."""

    def __init__(self, session: Session, tenant: Tenant, *, keep_seconds: float) -> None:
        self._session = session
        self._tenant = tenant
        self._keep_seconds = keep_seconds

    def begin(self, request: CreateRequest) -> Claim | Job:
        """Notes the try. Returns the job that its call made before, or the right to make it.

        Raises InProgress while another try of the call is at work, unless this one takes over from it, and
        InvalidRequest if the client's key was used for another request.
        """
        self._forget_expired()
        row = self._locked(request.key)
        at = now(self._session)
        # What this machine measures, by the database's clock.
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
        """The job that `create` makes, or the one that a later try of the same call has made meanwhile.
        Raises InProgress if such a try has taken over."""
        row = self._locked(claim.key)
        if row.call == claim.call and row.owner != claim.owner:
            if (job := self._job(row)) is None:
                raise _in_progress()
            return job
        job = create()
        # A call by the same key and body that began later may have taken the row; both are wanted.
        if row.owner == claim.owner:
            row.job_id, row.answered_at = job.id, now(self._session)
        return job

    def give_up(self, claim: Claim) -> None:
        """The work came to nothing: the next try begins anew."""
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
        """The key's row, a new one already expired. Two tries at once wait here for one another."""
        table = tables.IdempotencyKey
        insert = sqlite.insert if self._session.get_bind().dialect.name == "sqlite" else postgresql.insert
        self._session.execute(
            insert(table)
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
        """A few, of any tenant. What another try holds is left to it."""
        row = tables.IdempotencyKey
        expired = (
            select(row.project_id, row.key)
            .where(row.expires_at <= now(self._session))
            .limit(_FORGOTTEN_AT_ONCE)
            .with_for_update(skip_locked=True)
        )
        self._session.execute(delete(row).where(tuple_(row.project_id, row.key).in_(expired)))


def _is_same_call(row: tables.IdempotencyKey, request: CreateRequest, clock: float) -> bool:
    """Whether a try without a key of the client's belongs to the latest call by its API key with its body.
    `clock`: the database's time less `time.monotonic`."""
    began_at = clock + request.began
    if request.retry_count == 0:
        # A first try begins a call, unless its own retry has overtaken it.
        return not row.is_first_seen and began_at < row.began_at
    if request.unrecorded_began is not None and clock + request.unrecorded_began > row.began_at:
        return False
    if row.answered_at is None or began_at <= row.answered_at:
        return True
    # The answer was lost: the client saw that at once, or when its time ran out.
    patience = request.retry_count * _LONGEST_BACKOFF_SECONDS
    if began_at - row.answered_at <= patience:
        return True
    return request.timeout is not None and abs(began_at - row.began_at - request.timeout) <= patience


def _in_progress() -> InProgress:
    return InProgress("The same request is being worked on; send it again in a second.")
