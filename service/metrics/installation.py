"""Metrics of the installation, read from the database when Prometheus asks."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import get_args

from prometheus_client import Metric as Family
from prometheus_client.registry import Collector

from cluster.contracts.devices import Pool
from cluster.contracts.errors import TuneryError
from cluster.contracts.metrics import Metric
from service.db.database import Database
from service.db.installation import Installation, read_installation
from service.db.scheduler.pool_views import NodeCondition
from service.metrics import declared
from service.metrics.making import family

_FRESH_SECONDS = 5.0
"""The database is read at most once in this time, however often the metrics are scraped."""
Samples = Iterable[tuple[tuple[str, ...], float]]
"""Values by the labels' values."""


class InstallationCollector(Collector):
    """While the database does not answer, `tunery_database_up` is 0 and the other metrics are absent, because
    an old value would look like a new one. Thread-safe."""

    def __init__(
        self,
        database: Database,
        *,
        slots: int,
        pools: Sequence[Pool] = (),
        sweep_interval_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._slots, self._pools, self._clock = database, slots, pools, clock
        self._sweep_interval_seconds = sweep_interval_seconds
        self._lock = threading.Lock()
        self._read: Installation | None = None
        self._read_at = float("-inf")

    def describe(self) -> Iterable[Family]:
        """Returns only names, so that registering does not read the database."""
        return [family(metric) for metric in declared.INSTALLATION]

    def collect(self) -> Iterator[Family]:
        found = self._installation()
        values: Mapping[Metric, Samples] = {declared.DATABASE_UP: [((), float(found is not None))]}
        if found is not None:
            values = {
                **values,
                **samples(found, slots=self._slots, pools=self._pools),
                declared.SWEEP_INTERVAL: _one(self._sweep_interval_seconds),
            }
        for metric, measured in values.items():
            made = family(metric)
            for labels, value in measured:
                made.add_metric(labels, value)
            yield made

    def _installation(self) -> Installation | None:
        with self._lock:
            if self._clock() - self._read_at >= _FRESH_SECONDS:
                try:
                    with self._database.read() as session:
                        self._read = read_installation(session)
                except TuneryError:
                    self._read = None
                self._read_at = self._clock()
            return self._read


def samples(found: Installation, *, slots: int, pools: Sequence[Pool]) -> dict[Metric, Samples]:
    held = {**{pool.name: 0 for pool in pools}, **found.slots_held}
    return {
        declared.JOBS: _by_name(found.jobs),
        declared.OLDEST_JOB: found.oldest_jobs.items(),
        declared.ATTEMPTS: _by_name(found.attempts),
        declared.ATTEMPTS_ENDED: [
            ((one.result, one.code, one.fault), count) for one, count in found.ended_attempts.items()
        ],
        declared.SYNC_AGE: _one(found.sync_age),
        declared.CHECKPOINT_AGE: _one(found.checkpoint_age),
        declared.SLOTS: _one(slots),
        declared.SLOTS_HELD: _one(sum(held.values())),
        declared.POOL_DEVICES: _by_name({pool.name: pool.all_devices for pool in pools}),
        declared.POOL_HELD: _by_name(held),
        declared.POOL_FREE: _by_name({name: view.free_devices for name, view in found.pool_views.items()}),
        declared.POOL_NODES: [
            ((name, state), view.count(state))
            for name, view in found.pool_views.items()
            for state in get_args(NodeCondition)
        ],
        declared.TRAINING_SPEED: _by_name(found.tokens_per_second),
        declared.LEASE_LEFT: _by_name(found.leases),
        declared.OUTBOX_AGE: _one(found.outbox_age),
        declared.WEBHOOKS_PENDING: _one(found.webhooks_pending),
        declared.WEBHOOK_AGE: _one(found.webhook_age),
        declared.SWEEP_AGE: _one(found.sweep_age),
        declared.STORED_BYTES: _by_name(found.stored_bytes),
    }


def _by_name(values: Mapping[str, float]) -> Samples:
    return [((name,), value) for name, value in values.items()]


def _one(value: float | None) -> Samples:
    return [] if value is None else [((), value)]
