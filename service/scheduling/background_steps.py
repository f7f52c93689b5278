"""Long-running steps of jobs, which run outside the scheduler's thread."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import structlog
from structlog.contextvars import bound_contextvars

from cluster.contracts.errors import Conflict, Unavailable
from cluster.tracing import span
from service.db.jobs.jobs import Job
from service.db.scheduler.store import SchedulerStore
from service.db.troubles import triage

_log = structlog.get_logger()
_RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0)
"""Pauses between two tries of a step while a dependency does not answer. After a fault, the pause recorded in
the database may be longer."""


@dataclass(frozen=True, slots=True)
class BackgroundStep:
    name: str
    """Starts sentences in the job's events, such as "Validation"."""
    timeout_seconds: float
    """How long the step may wait for a dependency that does not answer."""
    run: Callable[[], None]


class BackgroundSteps:
    """Runs at most one step at a time for each job. An error caused by the job fails the job. A platform
    fault is counted, and the step is retried later. If a dependency does not answer, the step waits for it.
    Thread-safe."""

    def __init__(self, workers: Executor) -> None:
        self._workers = workers
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        self._failures: dict[str, tuple[int, float]] = {}

    def begin(self, jobs: SchedulerStore, job: Job, step: BackgroundStep) -> None:
        """Hands `step` to a worker, unless another step of the job is running or the job has to wait."""
        with self._lock:
            _, not_before = self._failures.get(job.id, (0, 0.0))
            if job.id in self._busy or time.monotonic() < not_before:
                return
            self._busy.add(job.id)
        self._workers.submit(self._run, jobs, job, step)

    def _run(self, jobs: SchedulerStore, job: Job, step: BackgroundStep) -> None:
        with bound_contextvars(job=job.id, project=job.tenant.project_id):
            self._try(jobs, job, step)

    def _try(self, jobs: SchedulerStore, job: Job, step: BackgroundStep) -> None:
        is_over = False
        try:
            is_over = _attempt(jobs, job, step)
        except Conflict as error:
            is_over = True
            _log.info("job or lease has changed", job=job.id, error=error.message)
        except Unavailable as error:
            # The database itself does not answer, so the result of the step cannot be recorded.
            _log.warning("result of a step not recorded", job=job.id, step=step.name, error=error.message)
        except Exception:
            _log.exception("result of a step could not be recorded", job=job.id, step=step.name)
        finally:
            self._end(job.id, is_over=is_over)

    def _end(self, job_id: str, *, is_over: bool) -> None:
        with self._lock:
            self._busy.discard(job_id)
            count, _ = self._failures.pop(job_id, (0, 0.0))
            if not is_over:
                pause = _RETRY_SECONDS[min(count, len(_RETRY_SECONDS) - 1)]
                self._failures[job_id] = (count + 1, time.monotonic() + pause)


def _attempt(jobs: SchedulerStore, job: Job, step: BackgroundStep) -> bool:
    """Returns whether the step is over and needs no retry."""
    try:
        with span(step.name.lower(), parent=job.traceparent, job=job.id):
            step.run()
    except Conflict:
        raise
    except Exception as error:
        trouble = triage(error, step.name)
        log = _log.exception if trouble.kind == "fault" else _log.warning
        log("step failed", job=job.id, step=step.name, code=trouble.code, error=trouble.error.message)
        if trouble.kind == "wait":
            jobs.note_wait(job, step.name, trouble.error, timeout_seconds=step.timeout_seconds)
        elif trouble.kind == "fault":
            jobs.retry(job, f"{step.name} failed: {trouble.error.message}")
        else:
            jobs.reject(job, code=trouble.code, message=trouble.error.message, param=trouble.error.param)
        return trouble.kind == "refusal"
    return True
