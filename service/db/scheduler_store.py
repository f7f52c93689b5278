"""The scheduler's view of all tenants' jobs, and every step it takes with them.

Each step is one short transaction that first pins the scheduler's lease: whoever lost it writes nothing more.
Each also checks that the job is still where the scheduler saw it; if not, it does nothing and returns False
(or None), because somebody (a runner, an owner) was faster, and the next look shows what is to do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.contracts.errors import Overloaded, Unavailable
from cluster.contracts.hyperparameters import Hyperparameters, TrainingConfig
from cluster.contracts.jobs import Failed, Finished, JobStatus
from service.db import tables
from service.db.attempts import new_token, requeue, token_sha256
from service.db.database import Database, now
from service.db.dataset_checks import CheckedFile, check_events
from service.db.faults import RESET_FAULTS, fail, note_wait, retry
from service.db.files import File, file_of
from service.db.jobs import Job, job_of
from service.db.leases import Leases
from service.db.pending_work import Attempt, PendingWork, pending_work
from service.db.publication import Publication, publish
from service.db.retries import RetryPolicy
from service.db.transitions import NewEvent, add_events, lock, transition

LEASE = "scheduler"


@dataclass(frozen=True, slots=True)
class Claim:
    """An attempt that is ours to submit."""

    number: int
    submission_id: str
    token: str
    resume_from: str | None


@dataclass(frozen=True, slots=True)
class JobFiles:
    training: File
    validation: File | None
    general: File | None


class SchedulerStore:
    """Takes steps as the holder of the scheduler's lease of this epoch. Safe for threads."""

    def __init__(self, database: Database, epoch: int, retries: RetryPolicy = RetryPolicy()) -> None:
        self._database = database
        self.epoch = epoch
        self._retries = retries

    def pending_work(self) -> PendingWork:
        with self._database.read() as session:
            return pending_work(session)

    def files(self, job: Job) -> JobFiles:
        """The job's files, even if they expired meanwhile."""
        with self._database.read() as session:
            return JobFiles(
                training=file_of(session.get_one(tables.File, job.training_file)),
                validation=_file(session, job.validation_file),
                general=_file(session, job.training.general_file),
            )

    def mark_validated(
        self,
        job: Job,
        hyperparameters: Hyperparameters,
        config: TrainingConfig,
        checks: Sequence[CheckedFile],
    ) -> bool:
        """To the queue, with every "auto" resolved."""
        with self._database.write() as session:
            row = self._locked_if_unchanged(session, job)
            if row is None:
                return False
            at = now(session)
            row = transition(
                session,
                row,
                JobStatus.QUEUED,
                at=at,
                hyperparameters=hyperparameters.model_dump(mode="json"),
                config=config.model_dump(mode="json"),
                **RESET_FAULTS,
            )
            events = [*check_events(checks, config), NewEvent("Files validated, moving job to queued state")]
            add_events(session, row, events, at=at)
            return True

    def reject(
        self,
        job: Job,
        *,
        code: str,
        message: str,
        param: str | None = None,
        data: dict[str, Any] | None = None,
    ) -> bool:
        """Ends the job with an error."""
        with self._database.write() as session:
            row = self._locked_if_unchanged(session, job)
            if row is None:
                return False
            fail(session, row, code=code, message=message, param=param, data=data, at=now(session))
            return True

    def retry(self, job: Job, what: str) -> bool:
        """Counts a fault of the platform, told by the sentence `what`, in a step of the job: it is due again
        after a pause, or ends after too many."""
        with self._database.write() as session:
            row = self._locked_if_unchanged(session, job)
            if row is None:
                return False
            retry(session, row, what, retries=self._retries, at=now(session))
            return True

    def note_wait(
        self, job: Job, step: str, error: Unavailable | Overloaded, *, timeout_seconds: float
    ) -> bool:
        """Tells the owner what a step of the job waits for, and ends the job after so long a wait."""
        with self._database.write() as session:
            row = self._locked_if_unchanged(session, job)
            if row is None:
                return False
            note_wait(session, row, step, error, timeout_seconds=timeout_seconds, at=now(session))
            return True

    def claim(self, job_id: str) -> Claim | None:
        """Writes down that a new attempt is about to be submitted, before Ray hears of it; it goes on from
        the newest checkpoint."""
        with self._database.write() as session:
            self._require_lease(session)
            row = lock(session, job_id)
            if row is None or row.status != JobStatus.QUEUED:
                return None
            at = now(session)
            number = row.attempt + 1
            row = transition(session, row, JobStatus.STARTING, at=at, attempt=number)
            claim = Claim(number, f"{job_id}-a{number}", new_token(), _newest_manifest(session, job_id))
            session.add(
                tables.Attempt(
                    job_id=job_id,
                    number=number,
                    submission_id=claim.submission_id,
                    token_sha256=token_sha256(claim.token),
                    state="submitting",
                    resume_from=claim.resume_from,
                    created_at=at,
                    heartbeat_at=at,
                )
            )
            return claim

    def reclaim(self, attempt: Attempt) -> Claim | None:
        """Of an attempt whose submission was cut off before its specification was stored: with a new token,
        since only the old one's hash is known."""
        with self._database.write() as session:
            row = self._locked_if_in_state(session, attempt, "submitting")
            if row is None:
                return None
            token = new_token()
            row.token_sha256 = token_sha256(token)
            return Claim(row.number, row.submission_id, token, row.resume_from)

    def token_matches(self, attempt: Attempt, token: str) -> bool:
        with self._database.read() as session:
            row = session.get_one(tables.Attempt, (attempt.job_id, attempt.number))
            return row.token_sha256 == token_sha256(token)

    def job(self, job_id: str) -> Job:
        with self._database.read() as session:
            return job_of(session.get_one(tables.Job, job_id))

    def mark_submitted(self, job_id: str, number: int) -> None:
        """Ray has it. Does nothing if the runner has spoken already."""
        with self._database.write() as session:
            self._require_lease(session)
            lock(session, job_id)
            row = session.get_one(tables.Attempt, (job_id, number), populate_existing=True)
            if row.state == "submitting":
                row.state, row.heartbeat_at = "submitted", now(session)

    def mark_lost(self, attempt: Attempt, reason: str) -> bool:
        """Gives the job of a dead attempt back to the queue, unless the attempt has spoken since."""
        with self._database.write() as session:
            row = self._locked_if_in_state(session, attempt, attempt.state)
            if row is None or row.heartbeat_at != attempt.heartbeat_at:
                return False
            job = lock(session, attempt.job_id)
            assert job is not None
            row.result = Failed(code="lost", message=reason, is_user_fault=False).model_dump(mode="json")
            session.flush()
            requeue(session, job, reason, retries=self._retries, at=now(session))
            return True

    def release(self, attempt: Attempt) -> None:
        """Ray holds nothing of it any more: its place is free."""
        with self._database.write() as session:
            self._require_lease(session)
            row = session.get_one(tables.Attempt, (attempt.job_id, attempt.number))
            row.released_at = now(session)

    def outcome(self, job: Job) -> Finished:
        """What the runner of a job to be published left."""
        with self._database.read() as session:
            row = session.get_one(tables.Attempt, (job.id, job.attempt))
            return Finished.model_validate(row.result)

    def metrics(self, job: Job) -> list[dict[str, Any]]:
        """The data of every step told, in order."""
        with self._database.read() as session:
            rows = session.scalars(
                select(tables.JobEvent.data)
                .where(tables.JobEvent.job_id == job.id, tables.JobEvent.type == "metrics")
                .order_by(tables.JobEvent.seq)
            )
            return list(rows)

    def publish(self, job: Job, publication: Publication) -> bool:
        """The model, its result file and the job's success, all at once."""
        with self._database.write() as session:
            row = self._locked_if_unchanged(session, job)
            if row is None:
                return False
            publish(session, row, publication, at=now(session))
            return True

    def _require_lease(self, session: Session) -> None:
        Leases(session).require(LEASE, self.epoch)

    def _locked_if_unchanged(self, session: Session, job: Job) -> tables.Job | None:
        self._require_lease(session)
        row = lock(session, job.id)
        return row if row is not None and row.version == job.version else None

    def _locked_if_in_state(self, session: Session, attempt: Attempt, state: str) -> tables.Attempt | None:
        """The attempt's row, with its job locked, if it is its job's newest and in `state`."""
        self._require_lease(session)
        job = lock(session, attempt.job_id)
        row = session.get_one(tables.Attempt, (attempt.job_id, attempt.number), populate_existing=True)
        is_newest = job is not None and job.attempt == attempt.number
        return row if is_newest and row.state == state else None


def _file(session: Session, id: str | None) -> File | None:
    return None if id is None else file_of(session.get_one(tables.File, id))


def _newest_manifest(session: Session, job_id: str) -> str | None:
    return session.scalar(
        select(tables.Checkpoint.manifest_key)
        .where(tables.Checkpoint.job_id == job_id)
        .order_by(tables.Checkpoint.step.desc())
        .limit(1)
    )
