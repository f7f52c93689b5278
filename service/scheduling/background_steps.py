"""Long steps of jobs, off the scheduler's own thread."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import structlog

from cluster.contracts.errors import (
    Conflict,
    CorruptArtefact,
    InternalError,
    InvalidConfiguration,
    InvalidRequest,
    Overloaded,
    TrainingFailed,
    TuneryError,
    Unavailable,
)
from service.db.jobs import Job
from service.db.scheduler_store import SchedulerStore

_log = structlog.get_logger()
_RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0)
"""Between two tries of a step, while what it waits for does not answer; after a fault the database may say
longer."""
_REFUSALS = (InvalidRequest, InvalidConfiguration, CorruptArtefact, TrainingFailed)
"""The same job would be refused again. Any other error is the platform's fault, ours included."""


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    """For the job's owner, at the head of a sentence: "Validation"."""
    timeout_seconds: float
    """How long it may wait for what does not answer."""
    run: Callable[[], None]


class BackgroundSteps:
    """At most one step at a time for each job. What can never work ends the job; a fault of the platform is
    counted, and the step due again later; what does not answer is waited for. Safe for threads."""

    def __init__(self, workers: Executor) -> None:
        self._workers = workers
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        self._failures: dict[str, tuple[int, float]] = {}

    def begin(self, jobs: SchedulerStore, job: Job, step: Step) -> None:
        """Hands `step` to a worker, unless the job has one under way or must wait."""
        with self._lock:
            _, not_before = self._failures.get(job.id, (0, 0.0))
            if job.id in self._busy or time.monotonic() < not_before:
                return
            self._busy.add(job.id)
        self._workers.submit(self._run, jobs, job, step)

    def _run(self, jobs: SchedulerStore, job: Job, step: Step) -> None:
        is_over = False
        try:
            is_over = _attempt(jobs, job, step)
        except Conflict as error:
            is_over = True
            _log.info("job or lease moved on meanwhile", job=job.id, error=error.message)
        except Unavailable as error:
            # The database itself, which cannot be told what became of the step.
            _log.warning("a step's end is not noted", job=job.id, step=step.name, error=error.message)
        except Exception:
            _log.exception("a step's end could not be noted", job=job.id, step=step.name)
        finally:
            self._end(job.id, is_over=is_over)

    def _end(self, job_id: str, *, is_over: bool) -> None:
        with self._lock:
            self._busy.discard(job_id)
            count, _ = self._failures.pop(job_id, (0, 0.0))
            if not is_over:
                pause = _RETRY_SECONDS[min(count, len(_RETRY_SECONDS) - 1)]
                self._failures[job_id] = (count + 1, time.monotonic() + pause)


def _attempt(jobs: SchedulerStore, job: Job, step: Step) -> bool:
    """Returns whether nothing is left to try."""
    try:
        step.run()
    except (Unavailable, Overloaded) as error:
        _log.warning("a step waits", job=job.id, step=step.name, error=error.message)
        jobs.note_wait(job, step.name, error, timeout_seconds=step.timeout_seconds)
        return False
    except Conflict:
        raise
    except _REFUSALS as error:
        _log.warning("job rejected", job=job.id, code=error.code, error=error.message)
        jobs.reject(job, code=error.code or "internal_error", message=error.message, param=error.param)
    except Exception as error:
        fault = error if isinstance(error, TuneryError) else InternalError.of(step.name)
        _log.exception("a step failed", job=job.id, step=step.name, error=fault.message)
        jobs.retry(job, f"{step.name} failed: {fault.message}")
        return False
    return True
