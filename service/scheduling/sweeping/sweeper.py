"""Sweeps storage at intervals, in the background."""

from concurrent.futures import Executor

import structlog

from cluster.storage.store import ObjectStore
from service.db.database import Database
from service.db.scheduler.leases import Leases
from service.metrics.scheduler import SchedulerMetrics
from service.scheduling.periodic import Periodic
from service.scheduling.sweeping.sweep import sweep, sweep_options
from service.settings import Settings

LEASE = "sweep"
_CHECK_SECONDS = 60.0
"""Time between two checks of whether a sweep is due."""
_log = structlog.get_logger()


class Sweeper:
    """Sweeps at intervals, on `workers`: once per interval in the whole installation, however many schedulers
    there are and however often they restart."""

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        settings: Settings,
        workers: Executor,
        metrics: SchedulerMetrics,
        *,
        name: str,
    ) -> None:
        """`name` is unique to this process."""
        self._database = database
        self._store = store
        self._settings = settings
        self._metrics = metrics
        self._name = name
        self._number = 0
        pause = min(_CHECK_SECONDS, settings.sweep_interval_seconds)
        self._checks = Periodic(
            "sweep",
            self._sweep_if_due,
            workers,
            pause_seconds=pause,
            first_pause_seconds=pause,
            note_failure=metrics.background_failed,
        )

    def begin_if_due(self) -> None:
        """Returns at once. Does nothing while a sweep is running."""
        if self._settings.sweep_interval_seconds:
            self._checks.begin_if_due()

    def _sweep_if_due(self) -> None:
        if self._is_due():
            self._sweep()

    def _is_due(self) -> bool:
        """Takes a lease for one interval, which is never renewed: a sweep is due when the last sweep's lease
        has expired."""
        self._number += 1
        seconds, holder = self._settings.sweep_interval_seconds, f"{self._name}-sweep-{self._number}"
        with self._database.write() as session:
            return Leases(session).acquire(LEASE, holder, seconds=seconds) is not None

    def _sweep(self) -> None:
        report = sweep(self._database, self._store, sweep_options(self._settings))
        if report.deleted:
            self._metrics.retained(report.deleted)
            _log.info("retention applied", deleted=dict(report.deleted))
        if (removed := report.total()).objects:
            self._metrics.swept(report.removed)
            kinds = {kind: count.bytes for kind, count in report.removed.items()}
            _log.info("swept", objects=removed.objects, bytes=removed.bytes, bytes_by_kind=kinds)
