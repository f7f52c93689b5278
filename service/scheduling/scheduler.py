"""The scheduler: looks at the database, decides, and takes one step with each job that can take one."""

import time
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import structlog

from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import Unavailable
from cluster.storage.store import ObjectStore
from service.db.database import Database
from service.db.jobs import Job
from service.db.leases import LeaseLost, Leases
from service.db.pending_work import PendingWork, QueuedJob
from service.db.scheduler_store import LEASE, SchedulerStore
from service.scheduling.background_steps import BackgroundSteps, Step
from service.scheduling.interfaces import RayJobs, ServingClient
from service.scheduling.launching import Launcher
from service.scheduling.policy import admit
from service.scheduling.publishing import publish
from service.scheduling.sweeper import Sweeper
from service.scheduling.validation import validate
from service.scheduling.watching import Watcher
from service.settings import Settings

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Dependencies:
    """All that the scheduler reaches."""

    database: Database
    store: ObjectStore
    ray: RayJobs
    serving: ServingClient
    bases: Mapping[str, BaseSpec]


class Scheduler:
    """Any number may run; the one that holds the lease acts. `tick` is for one thread; what takes long (file
    validation, publishing) runs on `workers`."""

    def __init__(
        self, dependencies: Dependencies, settings: Settings, workers: Executor, *, name: str
    ) -> None:
        """`name` tells schedulers apart and must be unique to this one."""
        self._dependencies = dependencies
        self._settings = settings
        self._name = name
        self._launcher = Launcher(
            dependencies.store, dependencies.ray, dependencies.bases, service_url=settings.service_url
        )
        self._watcher = Watcher(dependencies.ray, self._launcher, settings)
        self._background_steps = BackgroundSteps(workers)
        self._sweeper = Sweeper(dependencies.database, dependencies.store, settings, workers, name=name)
        self._jobs: SchedulerStore | None = None
        self._renew_at = 0.0
        self._was_database_down = False

    def tick(self) -> None:
        """One round. What does not answer now is left for a later one; trouble with one job stops no
        other."""
        try:
            jobs = self._lead()
            if jobs is not None:
                self._round(jobs)
        except LeaseLost:
            self._jobs = None
            _log.warning("lease lost", scheduler=self._name)
        except Unavailable as error:
            self._was_database_down = True
            _log.warning("database unavailable", error=error.message)

    def close(self) -> None:
        """Lets another scheduler take over at once."""
        if self._jobs is not None:
            with self._dependencies.database.write() as session:
                Leases(session).release(LEASE, self._jobs.epoch)
            self._jobs = None

    def _lead(self) -> SchedulerStore | None:
        """Prolongs the lease when a third of it is gone: every prolongation is a disk write."""
        if self._jobs is None or time.monotonic() >= self._renew_at:
            seconds = self._settings.leader_lease_seconds
            self._renew_at = time.monotonic() + seconds / 3
            with self._dependencies.database.write() as session:
                epoch = Leases(session).acquire(LEASE, self._name, seconds=seconds)
            if epoch is None:
                self._jobs = None
            elif self._jobs is None or self._jobs.epoch != epoch:
                self._jobs = SchedulerStore(self._dependencies.database, epoch, self._settings.retries)
                _log.info("leading", scheduler=self._name, epoch=epoch)
        return self._jobs

    def _round(self, jobs: SchedulerStore) -> None:
        seen = jobs.pending_work()
        if self._was_database_down:
            self._was_database_down = False
            self._watcher.restart_timeouts(seen.at)
        self._begin_background_steps(jobs, seen)
        self._sweeper.begin_if_due()
        held = self._watcher.watch(jobs, seen)
        if held is not None:
            for waiting in admit(seen.queued, slots=self._settings.training_slots, held=held):
                self._start(jobs, waiting)

    def _begin_background_steps(self, jobs: SchedulerStore, seen: PendingWork) -> None:
        for job in seen.validating:
            run = partial(self._validate, jobs, job)
            self._background_steps.begin(
                jobs, job, Step("Validation", self._settings.validation_timeout_seconds, run)
            )
        for job in seen.publishing:
            run = partial(self._publish, jobs, job)
            self._background_steps.begin(
                jobs, job, Step("Publishing", self._settings.publish_timeout_seconds, run)
            )

    def _validate(self, jobs: SchedulerStore, job: Job) -> None:
        dependencies = self._dependencies
        validate(job, jobs, dependencies.serving, dependencies.bases, slots=self._settings.training_slots)

    def _publish(self, jobs: SchedulerStore, job: Job) -> None:
        dependencies = self._dependencies
        publish(job, jobs, dependencies.store, dependencies.serving, dependencies.bases)

    def _start(self, jobs: SchedulerStore, waiting: QueuedJob) -> None:
        claim = jobs.claim(waiting.job_id)
        if claim is None:
            return
        _log.info("starting", job=waiting.job_id, attempt=claim.number, resume_from=claim.resume_from)
        try:
            self._launcher.launch(jobs, jobs.job(waiting.job_id), claim)
        except Unavailable as error:
            _log.warning("submission to be finished later", job=waiting.job_id, error=error.message)
        except LeaseLost:
            raise
        except Exception:
            # The attempt waits as `submitting`: the next round looks after it.
            _log.exception("submission failed", job=waiting.job_id)
