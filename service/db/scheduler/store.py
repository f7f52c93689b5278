"""The scheduler's access to the jobs of all tenants.

Every change is one short transaction that first locks the scheduler's lease, so that a scheduler that has
lost it writes nothing. It also checks that the job has not changed since the scheduler read it. If a runner
or an owner has changed it first, the call does nothing and returns False (or None), and the next round sees
the new state.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from cluster.contracts.errors import TuneryError
from cluster.contracts.hyperparameters import Hyperparameters, TrainingConfig
from cluster.contracts.jobs import Failed, Finished, JobStatus
from service.db import tables
from service.db.database import Database, now
from service.db.files.files import File, file_of
from service.db.jobs.faults import RESET_FAULTS, fail, note_wait, retry
from service.db.jobs.files import JobFiles
from service.db.jobs.jobs import Job, job_of
from service.db.jobs.past_runs import PastRun, past_runs
from service.db.jobs.publishing import postpone_publishing, refuse_publishing
from service.db.jobs.queue_places import Place, record_places
from service.db.organization.projects import encryption_key_of
from service.db.retries import PublishPolicy, RetryPolicy
from service.db.scheduler.attempts import DISPLACED, new_token, requeue, token_sha256
from service.db.scheduler.dataset_checks import CheckedFile, check_events
from service.db.scheduler.leases import API, Leases
from service.db.scheduler.node_faults import Faults, failed_on, node_faults
from service.db.scheduler.pending_work import Attempt, PendingWork, pending_work
from service.db.scheduler.pool_views import PoolNode, record_pool_views
from service.db.scheduler.publication import Publication, publish
from service.db.scheduler.queue_window import PlannedGang, gang_shape
from service.db.scheduler.standings import ProjectStanding, add_device_use, standings
from service.db.transitions import NewEvent, add_events, lock, transition

LEASE = "scheduler"


@dataclass(frozen=True, slots=True)
class Claim:
    """An attempt that this scheduler has to submit."""

    number: int
    submission_id: str
    token: str
    resume_from: str | None
    pool: str | None
    """The pool in which it runs. None for an attempt of an earlier release."""
    nodes: Mapping[str, int]
    """Workers on each of Ray's nodes. Empty: wherever there is room."""
    workers: int | None = None
    """None for an attempt of an earlier release."""


class TimedMetrics(NamedTuple):
    at: int
    """Unix seconds."""
    values: dict[str, Any]
    """Values, including `step`."""


class SchedulerStore:
    """Acts as the holder of the scheduler's lease with this epoch. Thread-safe."""

    def __init__(
        self,
        database: Database,
        epoch: int,
        retries: RetryPolicy = RetryPolicy(),
        publishing: PublishPolicy = PublishPolicy(),
        *,
        half_life_seconds: float = 3600.0,
    ) -> None:
        """`half_life_seconds` is the half-life of the device-seconds that projects have used."""
        self._database = database
        self.epoch = epoch
        self._retries = retries
        self._publishing = publishing
        self._half_life_seconds = half_life_seconds

    def pending_work(self) -> PendingWork:
        with self._database.read() as session:
            return pending_work(session)

    def past_runs(self, base: str | None = None) -> list[PastRun]:
        """Past runs of one base, or of all."""
        with self._database.read() as session:
            return past_runs(session, base)

    def files(self, job: Job) -> JobFiles:
        """The job's files, even if they have expired since."""
        with self._database.read() as session:
            return JobFiles(
                training=file_of(session.get_one(tables.File, job.training_file)),
                validation=_file(session, job.validation_file),
                general=_file(session, job.training.general_file),
            )

    def encryption_key(self, job: Job) -> str | None:
        """Key with which storage encrypts what is written for the job."""
        with self._database.read() as session:
            return encryption_key_of(session, job.tenant.project_id)

    def mark_validated(
        self,
        job: Job,
        hyperparameters: Hyperparameters,
        config: TrainingConfig,
        checks: Sequence[CheckedFile],
        gangs: Sequence[PlannedGang] = (),
    ) -> None:
        """Moves the job to the queue, with every "auto" resolved."""

        def enqueue(session: Session, row: tables.Job, at: float) -> None:
            row = transition(
                session,
                row,
                JobStatus.QUEUED,
                at=at,
                hyperparameters=hyperparameters.model_dump(mode="json"),
                config=config.model_dump(mode="json"),
                gangs=[asdict(gang) for gang in gangs],
                gang_shape=gang_shape(gangs),
                **RESET_FAULTS,
            )
            events = [*check_events(checks, config), NewEvent("Files validated, moving job to queued state")]
            add_events(session, row, events, at=at)

        self._change(job, enqueue)

    def reject(self, job: Job, *, code: str, message: str, param: str | None = None) -> None:
        """Fails the job with an error for its owner."""
        self._change(
            job, lambda session, row, at: fail(session, row, code=code, message=message, param=param, at=at)
        )

    def retry(self, job: Job, what: str) -> None:
        """Counts a platform fault in a step of the job, described by the sentence `what`. The job is due
        again after a pause, or fails after too many faults."""
        self._change(job, lambda session, row, at: retry(session, row, what, retries=self._retries, at=at))

    def note_wait(self, job: Job, step: str, error: TuneryError, *, timeout_seconds: float) -> None:
        """Adds an event about what a step of the job is waiting for; fails the job after
        `timeout_seconds`."""
        seconds = timeout_seconds
        self._change(
            job,
            lambda session, row, at: note_wait(session, row, step, error, timeout_seconds=seconds, at=at),
        )

    def restart_waits(self) -> None:
        """Restarts the time limit of validations that wait for something that does not answer, because
        nothing has been tried for a while."""
        job = tables.Job
        with self._database.write() as session:
            self._require_lease(session)
            waited = (job.status == JobStatus.VALIDATING_FILES.value) & job.waiting_since.is_not(None)
            session.execute(update(job).where(waited).values(waiting_since=None))

    def standings(self, project_ids: Collection[str], at: float) -> dict[str, ProjectStanding]:
        with self._database.read() as session:
            return standings(session, project_ids, at=at, half_life=self._half_life_seconds)

    def recent_faults(self, at: float) -> Faults:
        with self._database.read() as session:
            return Faults(node_faults(session, at), failed_on(session, at))

    def claim(self, job_id: str, pool: str, workers: int, nodes: Mapping[str, int]) -> Claim | None:
        """Records a new attempt, which continues from the newest resume state, before it is submitted to Ray.
        From now on, it holds `workers` devices of the pool."""
        with self._database.write() as session:
            self._require_lease(session)
            row = lock(session, job_id)
            if row is None or row.status != JobStatus.QUEUED:
                return None
            at = now(session)
            number = row.attempt + 1
            config = _preferring(row.config, pool, workers)
            row = transition(
                session, row, JobStatus.STARTING, at=at, attempt=number, config=config, resize_to=None
            )
            resume_from = row.resume_manifest_key or _newest_manifest(session, job_id)
            claim = Claim(number, f"{job_id}-a{number}", new_token(), resume_from, pool, nodes, workers)
            session.add(
                tables.Attempt(
                    job_id=job_id,
                    number=number,
                    submission_id=claim.submission_id,
                    token_sha256=token_sha256(claim.token),
                    state="submitting",
                    resume_from=claim.resume_from,
                    pool=pool,
                    num_workers=workers,
                    nodes=dict(nodes) or None,
                    created_at=at,
                    heartbeat_at=at,
                )
            )
            return claim

    def reclaim(self, attempt: Attempt) -> Claim | None:
        """Claims an attempt again whose submission was interrupted and whose specification is absent or
        unusable. It gets a new token, since only the hash of the old one is known."""
        with self._database.write() as session:
            row = self._locked_if_in_state(session, attempt, "submitting")
            if row is None:
                return None
            token = new_token()
            row.token_sha256 = token_sha256(token)
            return Claim(
                row.number,
                row.submission_id,
                token,
                row.resume_from,
                row.pool,
                row.nodes or {},
                row.num_workers,
            )

    def token_matches(self, attempt: Attempt, token: str) -> bool:
        with self._database.read() as session:
            row = session.get_one(tables.Attempt, (attempt.job_id, attempt.number))
            return row.token_sha256 == token_sha256(token)

    def job(self, job_id: str) -> Job:
        with self._database.read() as session:
            return job_of(session.get_one(tables.Job, job_id))

    def mark_submitted(self, job_id: str, number: int) -> None:
        """Records that Ray has the attempt. Does nothing if its runner has already synced."""
        with self._database.write() as session:
            self._require_lease(session)
            lock(session, job_id)
            row = session.get_one(tables.Attempt, (job_id, number), populate_existing=True)
            if row.state == "submitting":
                row.state, row.heartbeat_at = "submitted", now(session)

    def is_api_up(self) -> bool:
        """Whether there is an API process to which runners can report."""
        with self._database.read() as session:
            return Leases(session).is_held(API)

    def mark_lost(self, attempt: Attempt, reason: str) -> bool:
        """Puts the job of a lost attempt back into the queue, unless the attempt has synced since."""
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
        """Records that Ray no longer holds anything for the attempt, which frees its devices, and adds its
        use to the project's."""
        with self._database.write() as session:
            self._require_lease(session)
            row = session.get_one(tables.Attempt, (attempt.job_id, attempt.number))
            if row.released_at is not None:
                return
            job, at = session.get_one(tables.Job, attempt.job_id), now(session)
            row.released_at = at
            add_device_use(
                session,
                job.project_id,
                row,
                attempt.num_workers,
                at=at,
                half_life=self._half_life_seconds,
            )

    def displace(self, job_id: str, why: str = DISPLACED) -> bool:
        """Pauses a running job and puts it back into the queue, to free its devices for another job, unless
        `why` gives the owner another reason. This does not count as a fault of the job."""
        with self._database.write() as session:
            self._require_lease(session)
            row = lock(session, job_id)
            if row is None or row.status not in (JobStatus.STARTING, JobStatus.RUNNING):
                return False
            at = now(session)
            row = transition(
                session,
                row,
                JobStatus.PAUSING,
                at=at,
                is_displaced=True,
                # Only a job that made room for another job loses the right to preempt others.
                displacements=row.displacements + (why == DISPLACED),
            )
            add_events(session, row, [NewEvent(why, data={"reason": "displaced"})], at=at)
            return True

    def resize(self, job_id: str, workers: int, why: str) -> bool:
        """Changes the number of workers of a running elastic job: it pauses, and starts again as soon as it
        has left its devices. This does not count as a fault of the job."""
        with self._database.write() as session:
            self._require_lease(session)
            row = lock(session, job_id)
            if row is None or row.status != JobStatus.RUNNING:
                return False
            at = now(session)
            row = transition(session, row, JobStatus.PAUSING, at=at, is_displaced=True, resize_to=workers)
            data = {"reason": "resized", "num_workers": workers}
            add_events(session, row, [NewEvent(why, data=data)], at=at)
            return True

    def record_places(self, places: Sequence[Place]) -> None:
        """Replaces the recorded places of queued jobs, and tells their owners what is new."""
        with self._database.write() as session:
            self._require_lease(session)
            record_places(session, places, at=now(session))

    def record_pool_views(self, pools: Mapping[str, Sequence[PoolNode]]) -> None:
        """Replaces the recorded nodes of each pool."""
        with self._database.write() as session:
            self._require_lease(session)
            record_pool_views(session, pools, at=now(session))

    def postpone_publishing(self, job: Job, error: TuneryError) -> None:
        """Records why a try to publish the job failed. It is due again after a pause, or the job fails."""
        self._change(
            job, lambda session, row, at: postpone_publishing(session, row, error, self._publishing, at=at)
        )

    def refuse_publishing(self, job: Job, error: TuneryError, *, keeps_weights: bool) -> None:
        """Fails the job, because its weights cannot be published as they are."""
        keeps = keeps_weights
        self._change(
            job, lambda session, row, at: refuse_publishing(session, row, error, keeps_weights=keeps, at=at)
        )

    def outcome(self, job: Job) -> Finished:
        """The runner's result for a job that is being published."""
        with self._database.read() as session:
            row = session.get_one(tables.Attempt, (job.id, job.attempt))
            return Finished.model_validate(row.result)

    def metrics(self, job: Job) -> list[TimedMetrics]:
        """Metrics of every reported step, in order."""
        with self._database.read() as session:
            rows = session.execute(
                select(tables.JobEvent.created_at, tables.JobEvent.data)
                .where(tables.JobEvent.job_id == job.id, tables.JobEvent.type == "metrics")
                .order_by(tables.JobEvent.seq)
            )
            return [TimedMetrics(*row) for row in rows.tuples()]

    def publish(self, job: Job, publication: Publication) -> bool:
        """Publishes the model, its result file and the job's success in one transaction."""
        return self._change(job, lambda session, row, at: publish(session, row, publication, at=at))

    def _change(self, job: Job, change: Callable[[Session, tables.Job, float], object]) -> bool:
        """Calls `change` with the job's locked row and the time, unless the job has changed since it was
        read. Returns whether `change` was called."""
        with self._database.write() as session:
            self._require_lease(session)
            row = lock(session, job.id)
            if row is None or row.version != job.version:
                return False
            change(session, row, now(session))
            return True

    def _require_lease(self, session: Session) -> None:
        Leases(session).require(LEASE, self.epoch)

    def _locked_if_in_state(self, session: Session, attempt: Attempt, state: str) -> tables.Attempt | None:
        """The attempt's row, with its job locked, if it is its job's newest attempt and in `state`."""
        self._require_lease(session)
        job = lock(session, attempt.job_id)
        row = session.get_one(tables.Attempt, (attempt.job_id, attempt.number), populate_existing=True)
        is_newest = job is not None and job.attempt == attempt.number
        return row if is_newest and row.state == state else None


def _file(session: Session, id: str | None) -> File | None:
    return None if id is None else file_of(session.get_one(tables.File, id))


def _preferring(config: dict[str, Any] | None, pool: str, workers: int) -> dict[str, Any] | None:
    """Makes the plan for this pool and number of workers the job's configuration, if there is one: the API
    shows it, and it is what changes if passes do not fit into memory."""
    if not (config or {}).get("alternatives"):
        return config
    planned = TrainingConfig.model_validate(config)
    plan = planned.plan_in(pool, workers)
    return config if plan is None else planned.preferring(plan).model_dump(mode="json")


def _newest_manifest(session: Session, job_id: str) -> str | None:
    """Newest manifest of a job whose runners have not named a resume state: runners of earlier releases
    stored it with the weights."""
    return session.scalar(
        select(tables.Checkpoint.manifest_key)
        .where(tables.Checkpoint.job_id == job_id)
        .order_by(tables.Checkpoint.step.desc())
        .limit(1)
    )
