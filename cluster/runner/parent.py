"""Ties the runner's life to that of the process that started it."""

import logging
import os
import select
import signal
import threading


def end_with_parent() -> None:
    """Sends this process SIGTERM once its parent has ended, or at once if init has adopted it.

    The parent is Ray's supervisor of the job, or its shell. If a cluster is lost while the runner is still
    connecting to it, nothing else would ever end the runner: the service of a lost installation does not
    answer, so it cannot fence the runner."""
    if os.getppid() == 1:
        # The parent ended before this process could ask for the signal.
        os.kill(os.getpid(), signal.SIGTERM)
    try:
        parent = os.pidfd_open(os.getppid())
    except OSError as error:
        # For example a sandbox that does not know the call. Jobs also run without it.
        logging.warning("The runner's parent is not watched: %s", error)
        return

    def wait() -> None:
        select.select([parent], [], [])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()
