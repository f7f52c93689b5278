"""The driver of a Ray job: `python -m cluster.runner`. TUNERY_JOB_SPEC is the storage key of its JobSpec.

Exit codes: 0 finished or stopped, 1 failed, 3 fenced because a later attempt has the job, 143 terminated.
"""

import logging
import os
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import NoReturn

import httpx2

from cluster.contracts.jobs import Failed, JobSpec
from cluster.niceness import reset_niceness
from cluster.runner.control import RayRun
from cluster.runner.supervise import supervise, tell_stopped
from cluster.runner.sync import FencedError, ServiceLink
from cluster.runner.tracked import Trackers
from cluster.storage.location import store_from_environment

FENCED = 3
SYNC_TIMEOUT_SECONDS = 10.0


def main() -> int:
    signal.signal(signal.SIGTERM, _end)
    # Before other threads start, because they inherit the niceness.
    reset_niceness()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    store = store_from_environment()
    spec = JobSpec.model_validate_json(store.get(os.environ["TUNERY_JOB_SPEC"]))
    with tempfile.TemporaryDirectory() as scratch, httpx2.Client(timeout=SYNC_TIMEOUT_SECONDS) as client:
        link, folder = ServiceLink(spec, client), Path(scratch)
        try:
            with Trackers(spec, folder) as trackers:
                state = supervise(link, lambda: trackers.follow(RayRun(spec, folder)))
        except SystemExit:
            # A restart that was planned is no fault of the attempt. Without this, it would seem lost.
            tell_stopped(link)
            raise
        except FencedError as error:
            logging.error("Fenced: %s", error)
            return FENCED
    return 1 if isinstance(state, Failed) else 0


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
        sys.stdout.flush()
        sys.stderr.flush()
        # Not sys.exit, which waits for Ray and the training thread. Ray stops the workers when their driver
        # exits.
        os._exit(code)
