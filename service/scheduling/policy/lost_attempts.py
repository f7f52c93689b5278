"""Finds attempts that are lost."""

from service.db.scheduler.pending_work import Attempt
from service.scheduling.interfaces import GONE, RayStatus


def lost_reason(
    attempt: Attempt, status: RayStatus | None, *, at: float, silence_seconds: float
) -> str | None:
    """Returns why the attempt is lost, or None if it is not. `status` is None if Ray was not asked or did not
    answer: then no attempt is lost, since a new one could not be started either. A process that Ray still has
    may be silent for `silence_seconds`."""
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
