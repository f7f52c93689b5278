"""CPU priorities of Tunery's processes on a busy host.

Ray gives all its workers, and the runner among their children, the niceness RAY_worker_niceness (15). If that
is 0, processes that compute raise their own niceness, so that the runner still gets to send heartbeats.
"""

import os
from contextlib import suppress
from pathlib import Path

COMPUTE_NICENESS = 10
"""Niceness of training and serving."""


def yield_to_others() -> None:
    """Gives every thread of this process COMPUTE_NICENESS. Threads and processes that it starts inherit
    it."""
    for task in Path("/proc/self/task").iterdir():
        # The thread may have ended meanwhile.
        with suppress(ProcessLookupError):
            thread = int(task.name)
            if os.getpriority(os.PRIO_PROCESS, thread) < COMPUTE_NICENESS:
                os.setpriority(os.PRIO_PROCESS, thread, COMPUTE_NICENESS)


def reset_niceness() -> None:
    """Sets this thread's niceness to 0, where the system allows it."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, min(0, os.getpriority(os.PRIO_PROCESS, 0)))
