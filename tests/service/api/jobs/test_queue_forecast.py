"""A new job is expected to start when the scheduler would start it, and not simply after all earlier ones."""

import pytest

from cluster.contracts.devices import Pool
from cluster.contracts.jobs import Priority
from service.api.jobs.queue_forecast import ExpectedWait, QueueState, expected_wait, waiting
from service.db.maintenance import Maintenance
from service.db.scheduler.pending_work import Holding, PendingWork
from service.db.scheduler.queue_window import PlannedGang, WaitingJob
from service.db.scheduler.standings import ProjectStanding
from service.scheduling.policy.snapshot import Rules

AT = 1000.0
BOX = Pool.model_construct(name="box", kind="cpu", devices=2)


def holding(job_id: str, *, workers: int, ends_in: float | None, project_id: str = "busy") -> Holding:
    return Holding(
        job_id=job_id,
        number=1,
        project_id=project_id,
        priority="normal",
        queued_at=AT - 10,
        pool="box",
        workers=workers,
        nodes={},
        started_at=AT - 10,
        has_started=True,
        ends_at=None if ends_in is None else AT + ends_in,
        saved_at=AT - 10,
        is_leaving=False,
    )


def job(
    job_id: str,
    project_id: str = "busy",
    *,
    workers: int = 1,
    seconds: float | None = 50.0,
    priority: Priority = "normal",
    at: float = AT - 5,
) -> WaitingJob:
    return waiting(job_id, project_id, priority, [PlannedGang("box", workers, seconds)], at=at)


def wait(
    new: WaitingJob,
    *,
    held: list[Holding],
    queued: list[WaitingJob],
    maintenance: bool = False,
    pool: Pool = BOX,
    max_devices: int | None = None,
) -> ExpectedWait:
    """`max_devices` are the busy project's."""
    pending = PendingWork(
        at=AT,
        validating=[],
        queued=queued,
        too_late=[],
        publishing=[],
        publishes_soon=False,
        attempts=[],
        holdings=held,
        maintenance=Maintenance(since=1, pauses_jobs=False) if maintenance else None,
        pool_limits={},
    )
    standing = {
        name: ProjectStanding(0.0, 1, None, most) for name, most in (("busy", max_devices), ("fresh", None))
    }
    return expected_wait(QueueState(pending, standing), new, [pool], Rules())


FULL = [holding("a", workers=2, ends_in=100)]
QUEUE = [job(f"q{number}") for number in range(4)]


@pytest.mark.parametrize(
    ("new", "held", "queued", "expected"),
    [
        (job("new", at=AT), [], [], ExpectedWait(0, 0.0, None)),
        (job("new", at=AT), FULL, [], ExpectedWait(1, 100.0, None)),
        # Two devices: of its own project's four jobs, two pairs run before it.
        (job("new", at=AT), FULL, QUEUE, ExpectedWait(5, 200.0, None)),
        # Another project, which has had nothing, has its turn at once.
        (job("new", "fresh", at=AT), FULL, QUEUE, ExpectedWait(1, 100.0, None)),
        (job("new", at=AT, priority="high"), FULL, QUEUE, ExpectedWait(0, 0.0, None)),
        # What is there already starts before it, though it is longer.
        (job("new", at=AT, workers=2), [], [job("q", seconds=80)], ExpectedWait(1, 80.0, None)),
    ],
)
def test_a_job_starts_when_the_policy_lets_it(
    new: WaitingJob, held: list[Holding], queued: list[WaitingJob], expected: ExpectedWait
) -> None:
    assert wait(new, held=held, queued=queued) == expected


def test_a_job_that_needs_a_node_of_its_own_waits_for_one() -> None:
    """Of two nodes with four devices each, gangs of three and of two leave one and two free."""
    pool = Pool.model_construct(name="box", kind="cpu", devices=4, nodes=2)
    held = [holding("a", workers=3, ends_in=100), holding("b", workers=2, ends_in=80)]
    assert wait(job("new", workers=3, at=AT), held=held, queued=[], pool=pool) == ExpectedWait(2, 80.0, None)
    assert wait(job("new", workers=2, at=AT), held=held, queued=[], pool=pool).seconds == 0.0


def test_a_job_beyond_its_projects_quota_waits_for_the_projects_own_jobs() -> None:
    held = [holding("a", workers=1, ends_in=100)]
    assert wait(job("new", at=AT), held=held, queued=[], max_devices=1) == ExpectedWait(1, 100.0, None)
    never = wait(job("new", at=AT, workers=2), held=held, queued=[], max_devices=1)
    assert (never.seconds, "may hold 1 at most" in (never.problem or "")) == (None, True)


def test_what_nobody_can_know_is_said_to_be_unknown() -> None:
    new = job("new", at=AT)
    endless, unmeasured = holding("a", workers=2, ends_in=None), job("q", workers=2, seconds=None)
    for found in (wait(new, held=[endless], queued=[]), wait(new, held=[], queued=[unmeasured])):
        assert (found.jobs_ahead, found.seconds, "has finished" in (found.problem or "")) == (1, None, True)
    assert "maintenance" in (wait(new, held=[], queued=[], maintenance=True).problem or "")
    never = wait(job("new", at=AT, workers=3), held=[], queued=[])
    assert (never.seconds, never.problem is not None) == (None, True)
