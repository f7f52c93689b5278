"""`python -m service.scheduling` runs the scheduler. SIGTERM and SIGINT stop it."""

import os
import secrets
import signal
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import structlog

from cluster.bases.catalogue import LiveCatalogue
from cluster.contracts.errors import Unavailable
from cluster.storage.location import open_store
from cluster.tracing import configure_tracing, stop_tracing
from service.db.database import Database
from service.db.webhooks.queue import WebhookQueue
from service.logs import configure_service_logs
from service.metrics.listening import serving_metrics
from service.metrics.making import new_registry, watch_connections
from service.metrics.scheduler import SchedulerMetrics
from service.scheduling.cluster.cluster_view import HttpClusterView
from service.scheduling.cluster.ray_jobs import HttpRayJobs
from service.scheduling.scheduler import Dependencies, Scheduler
from service.scheduling.serving import HttpServingClient
from service.settings import Settings
from service.webhooks.delivering import delivering
from service.webhooks.sending import CountedWebhooks, HttpWebhooks

_WORKERS = 8
"""Twice the number of imports that are validated at once, so that jobs do not wait for imports."""


def main() -> None:
    configure_service_logs(sys.stdout)
    configure_tracing("scheduler")
    stop = _stop_signal()
    settings = Settings()
    registry = new_registry()
    metrics = SchedulerMetrics(registry)
    ray_token = settings.ray_auth_token.get_secret_value() if settings.ray_auth_token else None
    with (
        closing(Database(settings.database_url)) as database,
        closing(HttpRayJobs(settings.ray_url, ray_token)) as ray,
        closing(
            HttpServingClient(settings.serving_url, settings.cluster_token.get_secret_value())
        ) as serving,
        closing(HttpClusterView(settings.serving_url, settings.cluster_token.get_secret_value())) as cluster,
        serving_metrics(registry, settings.metrics_host, settings.scheduler_metrics_port),
    ):
        watch_connections(database, registry)
        dependencies = Dependencies(
            database=database,
            store=open_store(
                settings.storage_url,
                endpoint_url=settings.storage_endpoint,
                checksums=settings.storage_checksums,
            ),
            ray=ray,
            serving=serving,
            cluster=cluster,
            bases=LiveCatalogue(settings.catalogue),
            metrics=metrics,
        )
        name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="background-step")
        webhooks = WebhookQueue(
            database,
            retention_seconds=settings.webhook_retention_seconds,
            disable_after_seconds=settings.webhook_disable_after_seconds,
        )
        send = CountedWebhooks(HttpWebhooks(settings.webhook_policy), metrics.sent_webhook)
        with delivering(webhooks, send, metrics.background_failed):
            scheduler = Scheduler(dependencies, settings, workers, name=name)
            keep_seconds = settings.leader_lease_seconds / 3
            run(scheduler, stop, settings.tick_seconds, metrics, keep_seconds=keep_seconds)
    # Do not wait for background steps that hang until a time-out: the next scheduler runs them again.
    stop_tracing()
    sys.stdout.flush()
    os._exit(0)


def run(
    scheduler: Scheduler,
    stop: threading.Event,
    tick_seconds: float,
    metrics: SchedulerMetrics,
    *,
    keep_seconds: float = 1.0,
) -> None:
    """Calls `tick` until `stop` is set, and renews the lease every `keep_seconds` during long ticks. An
    unexpected error is logged, and the next tick tries again."""
    log = structlog.get_logger()
    keeper = threading.Thread(target=_keep_lead, args=(scheduler, stop, keep_seconds), daemon=True)
    keeper.start()
    while not stop.is_set():
        try:
            with metrics.tick():
                scheduler.tick()
        except Exception:
            log.exception("tick failed")
        stop.wait(tick_seconds)
    try:
        scheduler.close()
    except Unavailable as error:
        log.warning("lease not released", error=error.message)


def _keep_lead(scheduler: Scheduler, stop: threading.Event, seconds: float) -> None:
    while not stop.wait(seconds):
        try:
            scheduler.keep_lead()
        except Unavailable as error:
            structlog.get_logger().warning("lease not renewed", error=error.message)
        except Exception:
            structlog.get_logger().exception("lease not renewed")


def _stop_signal() -> threading.Event:
    """An event that SIGTERM or SIGINT sets. A thread waits for them, because a signal handler could interrupt
    code that holds the event's lock."""
    stop, numbers = threading.Event(), {signal.SIGTERM, signal.SIGINT}

    def wait() -> None:
        signal.sigwait(numbers)
        stop.set()

    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    threading.Thread(target=wait, name="signals", daemon=True).start()
    return stop


if __name__ == "__main__":
    main()
