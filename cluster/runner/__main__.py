"""The driver of a Ray job: `python -m cluster.runner`. TUNERY_JOB_SPEC is the storage key of its JobSpec.

Exit codes: 0 finished or stopped, 1 failed, 3 fenced because a later attempt has the job, 143 terminated.
"""

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

import httpx2

from cluster.contracts.jobs import Failed, JobSpec, RunnerState
from cluster.logs import configure_logs
from cluster.niceness import reset_niceness
from cluster.runner.control import RayRun
from cluster.runner.parent import end_with_parent
from cluster.runner.supervise import SupervisedRun, supervise, tell_stopped
from cluster.runner.sync import FencedError, ServiceLink
from cluster.runner.tracked import Trackers
from cluster.storage.location import store_from_environment
from cluster.storage.retrying import RetryingStore
from cluster.tracing import configure_tracing, span, stop_tracing, traceparent

FENCED = 3
SYNC_TIMEOUT_SECONDS = 10.0
STORAGE_SECONDS = 120.0
"""How long to wait for storage that does not answer. It is less than an attempt may take to start."""


def main() -> int:
    signal.signal(signal.SIGTERM, _end)
    end_with_parent()
    # Called before other threads start, because they inherit the niceness.
    reset_niceness()
    configure_logs(sys.stderr, process="runner")
    configure_tracing("runner")
    store = RetryingStore(store_from_environment(), STORAGE_SECONDS)
    spec = JobSpec.model_validate_json(store.get(os.environ["TUNERY_JOB_SPEC"]))
    configure_logs(sys.stderr, process="runner", job=spec.job_id, attempt=spec.attempt)
    with tempfile.TemporaryDirectory() as scratch, httpx2.Client(timeout=SYNC_TIMEOUT_SECONDS) as client:
        link = ServiceLink(spec, client)
        try:
            with Trackers(spec, Path(scratch)) as trackers:
                state = run_attempt(spec, link, lambda spec: trackers.follow(RayRun(spec)))
        except SystemExit:
            # A planned restart is not a fault of the attempt. Without this call, the attempt would seem lost.
            tell_stopped(link)
            raise
        except FencedError as error:
            logging.error("Fenced: %s", error)
            return FENCED
    return 1 if isinstance(state, Failed) else 0


def run_attempt(spec: JobSpec, link: ServiceLink, start: Callable[[JobSpec], SupervisedRun]) -> RunnerState:
    """Calls `supervise` within the trace that the specification continues. `start` gets a specification with
    a trace that the workers continue."""
    with span("attempt", parent=spec.traceparent, job=spec.job_id, attempt=spec.attempt):
        continued = spec.model_copy(update={"traceparent": traceparent() or spec.traceparent})
        return supervise(link, lambda: start(continued))


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    code = 1
    try:
        code = main()
    except SystemExit as end:
        code = int(end.code or 0)
    except Exception:
        logging.exception("The runner ended with an error.")
    finally:
        stop_tracing()
        sys.stdout.flush()
        sys.stderr.flush()
        # Not sys.exit, which waits for Ray and the training thread. Ray stops the workers when their driver
        # exits.
        os._exit(code)
