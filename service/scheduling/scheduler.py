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
from service.db.scheduler_store import LEASE, Work
from service.db.snapshot import Snapshot, Waiting
from service.scheduling.background_steps import Chores, Step
from service.scheduling.interfaces import RayJobs, Serving
from service.scheduling.launching import Launcher
from service.scheduling.policy import admit
from service.scheduling.publishing import publish
from service.scheduling.sweeping import Sweeper
from service.scheduling.validation import validate
from service.scheduling.watching import Watcher
from service.settings import Settings

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ports:
    """All that the scheduler reaches."""

    database: Database
    store: ObjectStore
    ray: RayJobs
    serving: Serving
    bases: Mapping[str, BaseSpec]


class Scheduler:
    """Any number may run; the one that holds the lease acts. `tick` is for one thread; what takes long (file
    validation, publishing) runs on `workers`."""

    def __init__(self, ports: Ports, settings: Settings, workers: Executor, *, name: str) -> None:
        """`name` tells schedulers apart and must be unique to this one."""
        self._ports = ports
        self._settings = settings
        self._name = name
        self._launcher = Launcher(ports.store, ports.ray, ports.bases, service_url=settings.service_url)
        self._watcher = Watcher(ports.ray, self._launcher, settings)
        self._chores = Chores(workers)
        self._sweeper = Sweeper(ports.database, ports.store, settings, workers, name=name)
        self._work: Work | None = None
        self._renew_at = 0.0
        self._was_blind = False

    def tick(self) -> None:
        """One round. What does not answer now is left for a later one; trouble with one job stops no
        other."""
        try:
            work = self._lead()
            if work is not None:
                self._round(work)
        except LeaseLost:
            self._work = None
            _log.warning("lease lost", scheduler=self._name)
        except Unavailable as error:
            self._was_blind = True
            _log.warning("database unavailable", error=error.message)

    def close(self) -> None:
        """Lets another scheduler take over at once."""
        if self._work is not None:
            with self._ports.database.write() as session:
                Leases(session).release(LEASE, self._work.epoch)
            self._work = None

    def _lead(self) -> Work | None:
        """Prolongs the lease when a third of it is gone: every prolongation is a disk write."""
        if self._work is None or time.monotonic() >= self._renew_at:
            seconds = self._settings.leader_lease_seconds
            self._renew_at = time.monotonic() + seconds / 3
            with self._ports.database.write() as session:
                epoch = Leases(session).acquire(LEASE, self._name, seconds=seconds)
            if epoch is None:
                self._work = None
            elif self._work is None or self._work.epoch != epoch:
                self._work = Work(self._ports.database, epoch, self._settings.retries)
                _log.info("leading", scheduler=self._name, epoch=epoch)
        return self._work

    def _round(self, work: Work) -> None:
        seen = work.look()
        if self._was_blind:
            self._was_blind = False
            self._watcher.excuse_silence(seen.at)
        self._begin_chores(work, seen)
        self._sweeper.begin_if_due()
        held = self._watcher.watch(work, seen)
        if held is not None:
            for waiting in admit(seen.queued, slots=self._settings.training_slots, held=held):
                self._start(work, waiting)

    def _begin_chores(self, work: Work, seen: Snapshot) -> None:
        for job in seen.validating:
            run = partial(self._validate, work, job)
            self._chores.begin(work, job, Step("Validation", self._settings.validation_timeout_seconds, run))
        for job in seen.publishing:
            run = partial(self._publish, work, job)
            self._chores.begin(work, job, Step("Publishing", self._settings.publish_timeout_seconds, run))

    def _validate(self, work: Work, job: Job) -> None:
        ports = self._ports
        validate(job, work, ports.serving, ports.bases, slots=self._settings.training_slots)

    def _publish(self, work: Work, job: Job) -> None:
        ports = self._ports
        publish(job, work, ports.store, ports.serving, ports.bases)

    def _start(self, work: Work, waiting: Waiting) -> None:
        claim = work.claim(waiting.job_id)
        if claim is None:
            return
        _log.info("starting", job=waiting.job_id, attempt=claim.number, resume_from=claim.resume_from)
        try:
            self._launcher.launch(work, work.job(waiting.job_id), claim)
        except Unavailable as error:
            _log.warning("submission to be finished later", job=waiting.job_id, error=error.message)
        except LeaseLost:
            raise
        except Exception:
            # The attempt waits as `submitting`: the next round looks after it.
            _log.exception("submission failed", job=waiting.job_id)
