import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.db.scheduler.pending_work import Attempt, QueuedJob
from service.scheduling.interfaces import RayStatus
from service.scheduling.policy import admit, lost_reason


def queue(*sizes: int) -> list[QueuedJob]:
    return [QueuedJob(f"job-{place}", size) for place, size in enumerate(sizes)]


def admitted(sizes: list[int], *, slots: int, held: int = 0) -> list[int]:
    return [int(job.job_id.removeprefix("job-")) for job in admit(queue(*sizes), slots=slots, held=held)]


def test_the_oldest_jobs_that_fit_start() -> None:
    assert admitted([2, 1, 1, 1], slots=4) == [0, 1, 2]


def test_small_jobs_do_not_overtake_a_large_one() -> None:
    assert admitted([4, 1], slots=4, held=1) == []


def test_a_job_that_can_never_fit_blocks_no_other() -> None:
    assert admitted([9, 1], slots=4) == [1]


def test_nothing_starts_when_more_slots_are_held_than_exist() -> None:
    assert admitted([1], slots=2, held=3) == []


@given(st.lists(st.integers(1, 8), max_size=20), st.integers(1, 8), st.integers(0, 8))
def test_whole_gangs_never_exceed_the_slots(sizes: list[int], slots: int, held: int) -> None:
    chosen = admitted(sizes, slots=slots, held=held)
    assert held + sum(sizes[place] for place in chosen) <= max(slots, held)
    assert chosen == sorted(set(chosen))


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
