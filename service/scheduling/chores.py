"""Long steps of jobs, off the scheduler's own thread."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor

import structlog

from cluster.contracts.errors import Conflict, Overloaded, TuneryError, Unavailable
from service.db.jobs import Job
from service.db.work import Work

_log = structlog.get_logger()
_RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0)


class Chores:
    """At most one step at a time for each job. What can never work ends the job; what may work later waits,
    and is begun again by a later `begin`. Safe for threads."""

    def __init__(self, workers: Executor) -> None:
        self._workers = workers
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        self._failures: dict[str, tuple[int, float]] = {}

    def begin(self, work: Work, job: Job, step: Callable[[], None]) -> None:
        """Hands `step` to a worker, unless the job has one under way or must wait."""
        with self._lock:
            _, not_before = self._failures.get(job.id, (0, 0.0))
            if job.id in self._busy or time.monotonic() < not_before:
                return
            self._busy.add(job.id)
        self._workers.submit(self._run, work, job, step)

    def _run(self, work: Work, job: Job, step: Callable[[], None]) -> None:
        is_done = False
        try:
            is_done = _attempt(work, job, step)
        except Exception:
            _log.exception("a step failed unexpectedly", job=job.id)
        finally:
            self._end(job.id, is_done=is_done)

    def _end(self, job_id: str, *, is_done: bool) -> None:
        with self._lock:
            self._busy.discard(job_id)
            count, _ = self._failures.pop(job_id, (0, 0.0))
            if not is_done:
                pause = _RETRY_SECONDS[min(count, len(_RETRY_SECONDS) - 1)]
                self._failures[job_id] = (count + 1, time.monotonic() + pause)


def _attempt(work: Work, job: Job, step: Callable[[], None]) -> bool:
    """Returns whether there is nothing left to try."""
    try:
        step()
    except (Unavailable, Overloaded) as error:
        _log.warning("to be tried again", job=job.id, error=error.message)
        return False
    except Conflict as error:
        _log.info("job or lease moved on meanwhile", job=job.id, error=error.message)
    except TuneryError as error:
        _log.warning("job rejected", job=job.id, code=error.code, error=error.message)
        work.reject(job, code=error.code or "internal_error", message=error.message, param=error.param)
    return True
