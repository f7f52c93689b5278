"""Pure decisions: which jobs run next, and which attempts are lost."""

from collections.abc import Sequence

from service.db.scheduler.pending_work import Attempt, QueuedJob
from service.scheduling.interfaces import GONE, RayStatus


def admit(queue: Sequence[QueuedJob], *, slots: int, held: int) -> list[QueuedJob]:
    """The jobs of `queue`, which is in order of priority, that start now.

    `held` of the `slots` training processes are taken. A job starts with all its processes or not at all. A
    job that does not fit yet blocks those behind it; otherwise small jobs could keep a large one waiting for
    ever. A job that can never fit blocks none.
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
    """Why the attempt is lost; None if it is not. `status` is None if Ray was not asked or did not answer:
    then no attempt is lost, since another one could not be started either. A process that Ray still has may
    be silent for `silence_seconds`."""
    silence = at - attempt.heartbeat_at
    if status is None:
        return None
    if status == "absent":
        return "the cluster no longer knows its process."
    if status in GONE:
        return (
            "its process ended without a result."
            if attempt.state == "running"
            else "its process never started."
        )
    if silence > silence_seconds:
        return (
            f"its process has been silent for {silence:.0f} seconds, although the cluster reports it alive."
        )
    return None
