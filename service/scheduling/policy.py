"""Decisions, without any action: who runs next, and which attempts are lost."""

from collections.abc import Sequence

from service.db.pending_work import Attempt, QueuedJob
from service.scheduling.interfaces import GONE, RayStatus


def admit(queue: Sequence[QueuedJob], *, slots: int, held: int) -> list[QueuedJob]:
    """The jobs of `queue`, best first, that start now on `slots` training processes of which `held` are
    taken.

    A job starts with all its processes or not at all. One that does not fit yet holds back those behind it,
    or small jobs would keep a large one waiting for ever; one that could never fit holds back nobody.
    """
    admitted: list[QueuedJob] = []
    free = slots - held
    for job in queue:
        if job.num_workers > slots:
            continue
        if job.num_workers > free:
            break
        free -= job.num_workers
        admitted.append(job)
    return admitted


def lost_reason(
    attempt: Attempt, status: RayStatus | None, *, at: float, silence_seconds: float
) -> str | None:
    """Why the attempt is lost, or None while there is hope. `status` is None if Ray was not asked or did not
    answer: nobody is given up unasked, and without Ray nothing could take his place. A process that Ray still
    holds may be silent for `silence_seconds`."""
    silence = at - attempt.heartbeat_at
    if status is None:
        return None
    if status == "absent":
        return "the cluster no longer knows its process."
    if status in GONE:
        return (
            "its process ended without a word." if attempt.state == "running" else "its process never began."
        )
    if silence > silence_seconds:
        return (
            f"its process has not been heard of for {silence:.0f} seconds, though the cluster says it lives."
        )
    return None
