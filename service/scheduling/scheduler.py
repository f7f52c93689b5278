"""The scheduler: reads the pending work, decides, and moves each job that can move by one step."""

import math
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
from service.db.jobs.jobs import Job
from service.db.scheduler.leases import LeaseLost, Leases
from service.db.scheduler.pending_work import PendingWork, QueuedJob
from service.db.scheduler.store import LEASE, SchedulerStore
from service.scheduling.background_steps import BackgroundStep, BackgroundSteps
from service.scheduling.exporting import Exporter
from service.scheduling.importing import Importer
from service.scheduling.interfaces import RayJobs, ServingClient
from service.scheduling.launching import Launcher
from service.scheduling.policy import admit
from service.scheduling.publishing import try_to_publish
from service.scheduling.superseding import Superseder
from service.scheduling.sweeper import Sweeper
from service.scheduling.validation import validate
from service.scheduling.watching import Watcher
from service.settings import Settings

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Everything outside of its process that the scheduler uses."""

    database: Database
    store: ObjectStore
    ray: RayJobs
    serving: ServingClient
    bases: Mapping[str, BaseSpec]


class Scheduler:
    """Any number of schedulers may run; only the one that holds the lease acts. Call `tick` from one thread.
    Long steps (file validation, publishing) run on `workers`."""

    def __init__(
        self, dependencies: Dependencies, settings: Settings, workers: Executor, *, name: str
    ) -> None:
        """`name` must be unique to this scheduler."""
        self._dependencies = dependencies
        self._settings = settings
        self._name = name
        self._launcher = Launcher(
            dependencies.store,
            dependencies.ray,
            dependencies.bases,
            service_url=settings.service_url,
            device=settings.training_device,
            trackers=settings.trackers,
        )
        self._watcher = Watcher(dependencies.ray, self._launcher, settings)
        self._background_steps = BackgroundSteps(workers)
        self._sweeper = Sweeper(dependencies.database, dependencies.store, settings, workers, name=name)
        self._superseder = Superseder(
            dependencies.database,
            dependencies.store,
            workers,
            grace_seconds=settings.superseded_seconds,
        )
        self._importer = Importer(
            dependencies.database,
            dependencies.serving,
            dependencies.bases,
            workers,
            timeout_seconds=settings.validation_timeout_seconds,
            max_weights_bytes=settings.max_import_bytes,
        )
        self._exporter = Exporter(
            dependencies.database,
            dependencies.serving,
            dependencies.bases,
            workers,
            limits=settings.project_limits,
            kept_seconds=settings.export_seconds,
            timeout_seconds=settings.validation_timeout_seconds,
        )
        self._jobs: SchedulerStore | None = None
        self._renew_at = 0.0
        self._was_database_down = False

    def tick(self) -> None:
        """Runs one round. What does not answer now is left for a later round, and an error of one job does
        not stop the others."""
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
        """Takes the lease, or renews it when a third of it has passed: each renewal costs a disk write."""
        if self._jobs is None or time.monotonic() >= self._renew_at:
            seconds = self._settings.leader_lease_seconds
            self._renew_at = time.monotonic() + seconds / 3
            with self._dependencies.database.write() as session:
                epoch = Leases(session).acquire(LEASE, self._name, seconds=seconds)
            if epoch is None:
                self._jobs = None
            elif self._jobs is None or self._jobs.epoch != epoch:
                self._jobs = SchedulerStore(
                    self._dependencies.database, epoch, self._settings.retries, self._settings.publishing
                )
                _log.info("leading", scheduler=self._name, epoch=epoch)
        return self._jobs

    def _round(self, jobs: SchedulerStore) -> None:
        pending = jobs.pending_work()
        if self._was_database_down:
            self._was_database_down = False
            self._watcher.restart_timeouts(pending.at)
        self._begin_background_steps(jobs, pending)
        self._importer.begin()
        self._exporter.begin()
        self._sweeper.begin_if_due()
        self._superseder.begin_if_due()
        held = self._watcher.watch(jobs, pending)
        if held is not None:
            for queued in admit(pending.queued, slots=self._settings.training_slots, held=held):
                self._start(jobs, queued)

    def _begin_background_steps(self, jobs: SchedulerStore, pending: PendingWork) -> None:
        for job in pending.validating:
            run = partial(self._validate, jobs, job)
            self._background_steps.begin(
                jobs, job, BackgroundStep("Validation", self._settings.validation_timeout_seconds, run)
            )
        for job in pending.publishing:
            run = partial(self._publish, jobs, job)
            # What fails is recorded with the time of the next try, so that there is nothing to wait for.
            self._background_steps.begin(jobs, job, BackgroundStep("Publishing", math.inf, run))

    def _validate(self, jobs: SchedulerStore, job: Job) -> None:
        dependencies, settings = self._dependencies, self._settings
        validate(
            job,
            jobs,
            dependencies.serving,
            dependencies.bases,
            pools=settings.training_pools,
            slots=settings.training_slots,
        )

    def _publish(self, jobs: SchedulerStore, job: Job) -> None:
        dependencies = self._dependencies
        try_to_publish(job, jobs, dependencies.store, dependencies.serving, dependencies.bases)

    def _start(self, jobs: SchedulerStore, queued: QueuedJob) -> None:
        claim = jobs.claim(queued.job_id)
        if claim is None:
            return
        _log.info("starting", job=queued.job_id, attempt=claim.number, resume_from=claim.resume_from)
        try:
            self._launcher.launch(jobs, jobs.job(queued.job_id), claim)
        except Unavailable as error:
            _log.warning("submission to be completed later", job=queued.job_id, error=error.message)
        except LeaseLost:
            raise
        except Exception:
            # The attempt stays in the state `submitting`; the next round recovers it.
            _log.exception("submission failed", job=queued.job_id)
