"""The scheduler: reads the pending work, decides, and moves each job that can move one step further."""

import math
import time
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial

import structlog
from prometheus_client import CollectorRegistry

from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import Unavailable
from cluster.storage.store import ObjectStore
from cluster.tracing import span
from service.db.database import Database, now
from service.db.jobs.jobs import Job
from service.db.scheduler.leases import LeaseLost, Leases
from service.db.scheduler.pending_work import PendingWork
from service.db.scheduler.store import LEASE, SchedulerStore
from service.db.usage.usage import HOUR, forget_minutes
from service.metrics.scheduler import SchedulerMetrics
from service.scheduling.admission import Admission
from service.scheduling.background_steps import BackgroundStep, BackgroundSteps
from service.scheduling.cluster.cluster_pools import ClusterPools
from service.scheduling.cluster.gpu_arbiter import GpuArbiter
from service.scheduling.cluster.pool_states import Limits
from service.scheduling.exporting import Exporter
from service.scheduling.importing import Importer
from service.scheduling.interfaces import ClusterView, RayJobs, ServingClient
from service.scheduling.launching import Launcher
from service.scheduling.periodic import Periodic
from service.scheduling.policy.snapshot import Start
from service.scheduling.publishing.publish import try_to_publish
from service.scheduling.snapshots import rules_of
from service.scheduling.sweeping.superseding import delete_superseded
from service.scheduling.sweeping.sweeper import Sweeper
from service.scheduling.validation import validate
from service.scheduling.watching import Watcher
from service.settings import Settings

_log = structlog.get_logger()
_HANG_SECONDS = 60.0
_SUPERSEDED_CHECK_SECONDS = 2.0
_TOO_LATE = (
    "The job had not started by its tunery.start_by, {}. Create it again with a later one, or with none."
)


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Everything outside the process that the scheduler uses."""

    database: Database
    store: ObjectStore
    ray: RayJobs
    serving: ServingClient
    bases: Mapping[str, BaseSpec]
    metrics: SchedulerMetrics = field(default_factory=lambda: SchedulerMetrics(CollectorRegistry()))
    cluster: ClusterView | None = None
    """None: the cluster is as the settings describe it."""


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
            pools=settings.training_pools,
        )
        self._admission = Admission(
            ClusterPools(
                dependencies.cluster,
                settings.training_pools,
                Limits(
                    settings.training_slots,
                    settings.training_device,
                    shares_gpus=settings.gpu_sharing != "off",
                ),
            ),
            GpuArbiter(dependencies.serving, settings.gpu_sharing, settings.training_pools),
            rules_of(settings),
            report_seconds=settings.queue_report_seconds,
        )
        self._watcher = Watcher(dependencies.ray, self._launcher, settings)
        self._background_steps = BackgroundSteps(workers)
        self._sweeper = Sweeper(
            dependencies.database, dependencies.store, settings, workers, dependencies.metrics, name=name
        )
        self._superseding = Periodic(
            "deletion of superseded checkpoints",
            self._delete_superseded,
            workers,
            pause_seconds=_SUPERSEDED_CHECK_SECONDS,
            note_failure=dependencies.metrics.background_failed,
        )
        self._forgetting = Periodic(
            "deletion of usage by the minute",
            self._forget_minutes,
            workers,
            pause_seconds=HOUR,
            note_failure=dependencies.metrics.background_failed,
        )
        self._importer = Importer(
            dependencies.database,
            dependencies.serving,
            dependencies.bases,
            workers,
            timeout_seconds=settings.validation_timeout_seconds,
            note_failure=dependencies.metrics.background_failed,
            max_weights_bytes=settings.max_import_bytes,
        )
        self._exporter = Exporter(
            dependencies.database,
            dependencies.serving,
            dependencies.bases,
            workers,
            limits=settings.project_limits,
            retention=settings.retention,
            timeout_seconds=settings.validation_timeout_seconds,
            note_failure=dependencies.metrics.background_failed,
        )
        self._jobs: SchedulerStore | None = None
        self._renew_at = 0.0
        self._round_began: float | None = None
        self._are_timeouts_due = False
        """Whether heartbeats may be missing because no runner could write them."""

    def tick(self) -> None:
        """Runs one round. Whatever does not answer now is left for a later round, and an error of one job
        does not stop the others."""
        self._round_began = time.monotonic()
        try:
            jobs = self._lead()
            if jobs is not None:
                self._round(jobs)
        except LeaseLost:
            self._jobs = None
            _log.warning("lease lost", scheduler=self._name)
        except Unavailable as error:
            self._are_timeouts_due = True
            _log.warning("database unavailable", error=error.message)
        finally:
            self._round_began = None

    def keep_lead(self) -> None:
        """Renews the lease during a round. The round may be waiting for something that does not answer, and
        another scheduler would wait for the same thing. A round of more than a minute counts as hanging, and
        loses the lease. Call this from another thread than `tick`, a few times in each lease. Raises
        Unavailable."""
        jobs, began = self._jobs, self._round_began
        if jobs is None or began is None or time.monotonic() - began > _HANG_SECONDS:
            return
        with self._dependencies.database.write() as session:
            Leases(session).renew(LEASE, jobs.epoch, seconds=self._settings.leader_lease_seconds)

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
                    self._dependencies.database,
                    epoch,
                    self._settings.retries,
                    self._settings.publishing,
                    half_life_seconds=self._settings.fair_share_half_life_seconds,
                )
                # The API may have been down for as long as the scheduler.
                self._are_timeouts_due = True
                _log.info("leading", scheduler=self._name, epoch=epoch)
        return self._jobs

    def _round(self, jobs: SchedulerStore) -> None:
        pending = jobs.pending_work()
        if self._are_timeouts_due:
            self._are_timeouts_due = False
            self._watcher.restart_timeouts(pending.at)
            jobs.restart_waits()
        self._begin_background_steps(jobs, pending)
        self._importer.begin()
        self._exporter.begin()
        self._sweeper.begin_if_due()
        self._superseding.begin_if_due()
        self._forgetting.begin_if_due()
        held = self._watcher.watch(jobs, pending)
        for job in pending.too_late:
            jobs.reject(job, code="start_by_passed", message=_TOO_LATE.format(job.start_by))
        self._admission.admit(jobs, pending, held, partial(self._start, jobs))

    def _begin_background_steps(self, jobs: SchedulerStore, pending: PendingWork) -> None:
        for job in pending.validating:
            run = partial(self._validate, jobs, job)
            self._background_steps.begin(
                jobs, job, BackgroundStep("Validation", self._settings.validation_timeout_seconds, run)
            )
        for job in pending.publishing:
            run = partial(self._publish, jobs, job)
            # A failure is recorded with the time of the next try, so there is nothing to wait for here.
            self._background_steps.begin(jobs, job, BackgroundStep("Publishing", math.inf, run))

    def _validate(self, jobs: SchedulerStore, job: Job) -> None:
        dependencies, settings = self._dependencies, self._settings
        validate(
            job,
            jobs,
            dependencies.serving,
            dependencies.bases,
            pools=settings.training_pools,
            slots=settings.most_workers,
        )

    def _publish(self, jobs: SchedulerStore, job: Job) -> None:
        dependencies = self._dependencies
        begun = time.monotonic()
        outcome = try_to_publish(job, jobs, dependencies.store, dependencies.serving, dependencies.bases)
        dependencies.metrics.tried_to_publish(outcome, time.monotonic() - begun)

    def _delete_superseded(self) -> None:
        dependencies, seconds = self._dependencies, self._settings.superseded_seconds
        if freed := delete_superseded(dependencies.database, dependencies.store, grace_seconds=seconds):
            dependencies.metrics.superseded(freed)
            _log.info("superseded checkpoints deleted", bytes=freed)

    def _forget_minutes(self) -> None:
        are_left = True
        while are_left:
            with self._dependencies.database.write() as session:
                are_left = forget_minutes(session, now(session) - self._settings.usage_minutes_seconds)

    def _start(self, jobs: SchedulerStore, start: Start) -> None:
        claim = jobs.claim(start.job_id, start.pool, start.workers, start.nodes)
        if claim is None:
            return
        _log.info("starting", job=start.job_id, attempt=claim.number, resume_from=claim.resume_from)
        try:
            job = jobs.job(start.job_id)
            with span("start", parent=job.traceparent, job=job.id, attempt=claim.number):
                self._launcher.launch(jobs, job, claim)
        except Unavailable as error:
            _log.warning("submission to be completed later", job=start.job_id, error=error.message)
        except LeaseLost:
            raise
        except Exception:
            # The attempt stays in the state `submitting`; the next round recovers it.
            _log.exception("submission failed", job=start.job_id)
