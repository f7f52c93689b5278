"""Makes prometheus_client's objects from declared metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily

from cluster.contracts.metrics import Metric
from service.db.database import Database
from service.metrics.declared import DATABASE_CONNECTIONS, DATABASE_CONNECTIONS_LIMIT


def new_registry() -> CollectorRegistry:
    """Creates a registry with the operating system's figures for this process: CPU, memory, open files."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    assert metric.kind == "counter"
    return Counter(metric.name, metric.help, metric.labels, registry=registry)


def gauge(metric: Metric, registry: CollectorRegistry) -> Gauge:
    assert metric.kind == "gauge"
    return Gauge(metric.name, metric.help, metric.labels, registry=registry)


def histogram(metric: Metric, registry: CollectorRegistry) -> Histogram:
    assert metric.kind == "histogram"
    return Histogram(metric.name, metric.help, metric.labels, registry=registry, buckets=metric.buckets)


def family(metric: Metric) -> GaugeMetricFamily:
    """A gauge that is read anew at each scrape."""
    assert metric.kind == "gauge"
    return GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)


def watch_connections(database: Database, registry: CollectorRegistry) -> None:
    connections = gauge(DATABASE_CONNECTIONS, registry)
    connections.labels("busy").set_function(lambda: database.connections().busy)
    connections.labels("idle").set_function(lambda: database.connections().idle)
    gauge(DATABASE_CONNECTIONS_LIMIT, registry).set_function(lambda: database.connections().limit)
