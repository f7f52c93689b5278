"""Metrics that a scheduler counts about itself."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from prometheus_client import CollectorRegistry

from service.db.retention.rules import RetentionKind
from service.metrics import declared
from service.metrics.making import counter, histogram


class Removed(Protocol):
    @property
    def objects(self) -> int: ...

    @property
    def bytes(self) -> int: ...


class SchedulerMetrics:
    """Thread-safe. A scrape reads `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._tick_seconds = histogram(declared.TICK_SECONDS, registry)
        self._tick_failures = counter(declared.TICK_FAILURES, registry)
        self._publish_seconds = histogram(declared.PUBLISH_SECONDS, registry)
        self._swept_bytes = counter(declared.SWEPT_BYTES, registry)
        self._swept_objects = counter(declared.SWEPT_OBJECTS, registry)
        self._retention_deleted = counter(declared.RETENTION_DELETED, registry)
        self._superseded_bytes = counter(declared.SUPERSEDED_BYTES, registry)
        self._webhook_tries = counter(declared.WEBHOOK_TRIES, registry)
        self._background_failures = counter(declared.BACKGROUND_FAILURES, registry)

    @contextmanager
    def tick(self) -> Iterator[None]:
        with self._tick_failures.count_exceptions(), self._tick_seconds.time():
            yield

    def tried_to_publish(self, outcome: str, seconds: float) -> None:
        self._publish_seconds.labels(outcome).observe(seconds)

    def swept(self, removed: Mapping[str, "Removed"]) -> None:
        """Records what a sweep removed, by kind of object."""
        for kind, count in removed.items():
            self._swept_objects.labels(kind).inc(count.objects)
            self._swept_bytes.labels(kind).inc(count.bytes)

    def retained(self, deleted: Mapping[RetentionKind, int]) -> None:
        """Records what retention has deleted, by kind."""
        for kind, count in deleted.items():
            self._retention_deleted.labels(kind).inc(count)

    def background_failed(self, work: str) -> None:
        self._background_failures.labels(work).inc()

    def superseded(self, num_bytes: int) -> None:
        self._superseded_bytes.inc(num_bytes)

    def sent_webhook(self, outcome: str) -> None:
        self._webhook_tries.labels(outcome).inc()
