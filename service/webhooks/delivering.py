"""Delivers webhooks in the background, beside the scheduler's rounds."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager

import structlog

from cluster.contracts.errors import Unavailable
from service.db.webhooks.queue import Claim, WebhookQueue
from service.webhooks.sending import SendWebhook

_WORKERS = 16
"""Endpoints that one process serves at once. An unresponsive one occupies a worker for ten seconds."""
_POLL_SECONDS = 1.0
_PRUNE_SECONDS = 600.0
_TURN_SECONDS = 15.0
"""How long a worker stays with one endpoint before others get their turn."""
_WORK = "webhooks"
"""Name of the work in metrics."""
NoteFailure = Callable[[str], None]
"""Counts a failure of a piece of work, given the work's name."""
_log = structlog.get_logger()


class WebhookDeliverer:
    """Any number may run, in any number of processes: the queue's claims keep them apart."""

    def __init__(
        self,
        queue: WebhookQueue,
        send: SendWebhook,
        workers: Executor,
        *,
        num_workers: int = _WORKERS,
        note_failure: NoteFailure = lambda name: None,
    ) -> None:
        self._queue = queue
        self._note_failure = note_failure
        self._send = send
        self._workers = workers
        self._lock = threading.Lock()
        self._free = num_workers
        self._prune_at = time.monotonic() + _PRUNE_SECONDS

    def step(self) -> None:
        """Hands every endpoint with due deliveries to a free worker. Raises Unavailable if the database does
        not answer."""
        if self._queue.has_work():
            while self._queue.fan_out():
                pass
            with self._lock:
                free = self._free
            for claim in self._queue.claim(free) if free else ():
                with self._lock:
                    self._free -= 1
                self._workers.submit(self._serve, claim)
        if time.monotonic() >= self._prune_at:
            self._prune_at = time.monotonic() + _PRUNE_SECONDS
            while self._queue.prune():
                pass

    def _serve(self, claim: Claim) -> None:
        turn_ends_at = time.monotonic() + _TURN_SECONDS
        try:
            while time.monotonic() < turn_ends_at:
                if (tried := self._queue.begin_try(claim)) is None:
                    return
                outcome = self._send(
                    tried.url, tried.secrets, event_id=tried.event_id, body=tried.body, at=tried.at
                )
                self._queue.record(tried, outcome)
            self._queue.release(claim)
        except Unavailable as error:
            # The delivery is sent again, with the same id, once the claim has expired.
            _log.warning("webhook not recorded", endpoint=claim.endpoint_id, error=error.message)
        except Exception:
            _log.exception("webhook failed", endpoint=claim.endpoint_id)
            self._note_failure(_WORK)
        finally:
            with self._lock:
                self._free += 1


@contextmanager
def delivering(queue: WebhookQueue, send: SendWebhook, note_failure: NoteFailure) -> Iterator[None]:
    """Delivers in its own threads within the context. At the end, deliveries that are being sent are not
    awaited."""
    stop = threading.Event()
    workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="webhook")
    deliverer = WebhookDeliverer(queue, send, workers, note_failure=note_failure)
    thread = threading.Thread(target=_run, args=(deliverer, stop, note_failure), name="webhooks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        workers.shutdown(wait=False, cancel_futures=True)


def _run(deliverer: WebhookDeliverer, stop: threading.Event, note_failure: NoteFailure) -> None:
    while not stop.wait(_POLL_SECONDS):
        try:
            deliverer.step()
        except Unavailable as error:
            _log.warning("webhooks are waiting", error=error.message)
        except Exception:
            _log.exception("webhooks failed")
            note_failure(_WORK)
