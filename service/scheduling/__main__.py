"""`python -m service.scheduling` runs the scheduler. SIGTERM and SIGINT stop it."""

import logging
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
from service.db.database import Database
from service.db.webhooks.queue import WebhookQueue
from service.log_rate_limit import StructlogRateLimit
from service.scheduling.ray_jobs import HttpRayJobs
from service.scheduling.scheduler import Dependencies, Scheduler
from service.scheduling.serving import HttpServingClient
from service.settings import Settings
from service.webhooks.delivering import delivering
from service.webhooks.sending import HttpWebhooks

_WORKERS = 4


def main() -> None:
    _configure_logs()
    stop = _stop_signal()
    settings = Settings()
    ray_token = settings.ray_auth_token.get_secret_value() if settings.ray_auth_token else None
    with (
        closing(Database(settings.database_url)) as database,
        closing(HttpRayJobs(settings.ray_url, ray_token)) as ray,
        closing(
            HttpServingClient(settings.serving_url, settings.cluster_token.get_secret_value())
        ) as serving,
    ):
        dependencies = Dependencies(
            database=database,
            store=open_store(settings.storage_url, endpoint_url=settings.storage_endpoint),
            ray=ray,
            serving=serving,
            bases=LiveCatalogue(settings.catalogue),
        )
        name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="background-step")
        webhooks = WebhookQueue(
            database,
            retention_seconds=settings.webhook_retention_seconds,
            disable_after_seconds=settings.webhook_disable_after_seconds,
        )
        with delivering(webhooks, HttpWebhooks(settings.webhook_policy)):
            run(Scheduler(dependencies, settings, workers, name=name), stop, settings.tick_seconds)
    # Does not wait for background steps that hang in a time-out: the next scheduler takes them again.
    sys.stdout.flush()
    os._exit(0)


def run(scheduler: Scheduler, stop: threading.Event, tick_seconds: float) -> None:
    """Ticks until `stop` is set. An unexpected error is logged, and the next tick tries again."""
    log = structlog.get_logger()
    while not stop.is_set():
        try:
            scheduler.tick()
        except Exception:
            log.exception("tick failed")
        stop.wait(tick_seconds)
    try:
        scheduler.close()
    except Unavailable as error:
        log.warning("lease not released", error=error.message)


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


def _configure_logs() -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            StructlogRateLimit(),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(),
    )


if __name__ == "__main__":
    main()
