"""Who yields the CPU to whom on a host that has too little of it.

Ray gives all its workers the niceness RAY_worker_niceness (15), and a runner's heartbeat is one of their
children. Where it is 0, what computes makes itself nice, so that the runner is heard of beside it.
"""

import os
from contextlib import suppress
from pathlib import Path

COMPUTING = 10
"""Of training and serving."""


def yield_to_others() -> None:
    """Makes every thread of this process as nice as what computes, and so all that it starts from now on."""
    for task in Path("/proc/self/task").iterdir():
        # A thread may end meanwhile.
        with suppress(ProcessLookupError):
            thread = int(task.name)
            if os.getpriority(os.PRIO_PROCESS, thread) < COMPUTING:
                os.setpriority(os.PRIO_PROCESS, thread, COMPUTING)


def yield_to_nobody() -> None:
    """Takes this thread's niceness away, where the system allows that."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, min(0, os.getpriority(os.PRIO_PROCESS, 0)))
