import pytest

from service.db.scheduler.pending_work import Attempt
from service.scheduling.interfaces import RayStatus
from service.scheduling.policy.lost_attempts import lost_reason


def attempt(state: str, heartbeat_at: float) -> Attempt:
    return Attempt("job", 1, "job-a1", state, 1, heartbeat_at, None)


SILENT = "its process has been silent for 301 seconds, although the cluster reports it alive."


@pytest.mark.parametrize(
    ("state", "status", "silence", "reason"),
    [
        ("running", "running", 300, None),
        ("running", "running", 301, SILENT),
        ("running", None, 1e6, None),
        ("running", "failed", 3, "its process ended without a result."),
        ("running", "absent", 3, "the cluster no longer knows its process."),
        ("submitted", "pending", 300, None),
        ("submitted", "running", 301, SILENT),
        ("submitted", None, 1e6, None),
        ("submitted", "failed", 1, "its process never started."),
        ("submitted", "absent", 1, "the cluster no longer knows its process."),
    ],
)
def test_an_attempt_is_lost_when_its_process_is_gone_or_silent_for_too_long(
    state: str, status: RayStatus | None, silence: float, reason: str | None
) -> None:
    lost = lost_reason(attempt(state, 1000.0), status, at=1000.0 + silence, silence_seconds=300)
    assert lost == reason
