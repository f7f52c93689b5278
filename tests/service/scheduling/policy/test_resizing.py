"""When elastic jobs grow and shrink."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from service.scheduling.policy.resizing import Settling
from service.scheduling.policy.snapshot import PoolState, QueuedJob, Resize, Rules, RunningJob, Standing
from tests.service.scheduling.policy.test_decide import (
    HOUR,
    NOW,
    decided,
    limited,
    pool,
    queued,
    running,
    started,
)

SIZES = (8, 4, 2, 1)


def elastic(job_id: str, workers: int, **more: Any) -> RunningJob:
    return replace(running(job_id, workers, **more), sizes=SIZES)


def shrunk(queue: Sequence[QueuedJob], now: PoolState, *jobs: RunningJob, **rules: Any) -> dict[str, int]:
    decision = decided(queue, now, now_running=jobs, **rules)
    assert decision.growths == ()
    return {each.job_id: each.workers for each in decision.shrinks}


def grown(now: PoolState, *jobs: RunningJob, queue: Sequence[QueuedJob] = (), **rules: Any) -> dict[str, int]:
    decision = decided(queue, now, now_running=jobs, **rules)
    assert decision.shrinks == ()
    return {each.job_id: each.workers for each in decision.growths}


def test_an_elastic_job_grows_as_far_as_there_is_room_on_its_node() -> None:
    assert grown(pool(6), elastic("job", 2)) == {"job": 8}
    assert grown(pool(3), elastic("job", 2)) == {"job": 4}
    assert grown(pool(1, 8, devices=8), elastic("job", 2), running("other", 5)) == {"job": 8}
    assert grown(pool(1), elastic("job", 2), running("other", 5)) == {}
    assert grown(pool(6), running("fixed", 2)) == {}


def test_two_jobs_do_not_grow_into_the_same_devices_and_the_smaller_one_comes_first() -> None:
    small, other = elastic("small", 1), running("other", 2)
    assert grown(pool(3), elastic("large", 2), small, other) == {"small": 4}
    assert grown(pool(3), elastic("large", 2, priority="high"), small, other) == {"large": 4, "small": 2}


def test_a_job_grows_only_if_nobody_waits_for_the_devices_and_within_its_quota() -> None:
    now, job = pool(3), elastic("job", 1)
    others = running("other", 4)
    assert grown(now, job, others, queue=[queued("waits", 8)]) == {}
    capped = {"a": Standing(hard_devices=0), "z": Standing(hard_devices=7)}
    assert grown(now, job, others, queue=[queued("waits", 8)], standings=capped) == {"job": 2}
    assert grown(now, job, others) == {"job": 4}
    # A job of its own project waits for the quota.
    own = queued("waits", 8, project="z")
    assert grown(now, job, others, queue=[own], standings=capped) == {}


def test_a_job_grows_only_if_that_is_worth_a_restart() -> None:
    # With all eight devices instead of four, half of the time that is left is saved.
    assert grown(pool(4), elastic("job", 4, ends_in=239.0), restart_seconds=60.0) == {}
    assert grown(pool(4), elastic("job", 4, ends_in=241.0), restart_seconds=60.0) == {"job": 8}
    assert grown(pool(4), elastic("new", 4), settle_seconds=HOUR + 1) == {}
    assert grown(pool(4), elastic("leaves", 4, is_leaving=True)) == {}
    assert grown(pool(4), elastic("job", 4), may_resize=False) == {}


def test_an_elastic_job_shrinks_no_further_than_a_job_of_its_priority_needs() -> None:
    assert shrunk([queued("waits", 1)], pool(0), elastic("job", 8)) == {"job": 4}
    assert shrunk([queued("waits", 6)], pool(0), elastic("job", 8)) == {"job": 2}
    assert shrunk([queued("waits", 8)], pool(0), elastic("job", 8)) == {}
    assert shrunk([queued("waits", 2)], pool(1), elastic("job", 2), running("other", 5)) == {"job": 1}
    assert shrunk([queued("waits", 8, smaller=(4,))], pool(0), elastic("job", 8)) == {"job": 4}
    assert shrunk([queued("waits", 1, priority="low")], pool(0), elastic("job", 8)) == {}
    over = {"a": Standing(soft_devices=0)}
    assert shrunk([queued("waits", 1)], pool(0), elastic("job", 8), standings=over) == {}
    low = elastic("job", 8, priority="low")
    assert shrunk([queued("waits", 1)], pool(0), low, standings=over) == {"job": 4}


def test_a_job_shrinks_instead_of_being_preempted() -> None:
    low = elastic("low", 8, priority="low")
    decision = decided([queued("waits", 4)], pool(0), now_running=[low])
    assert (decision.preempts, [each.workers for each in decision.shrinks]) == ((), [4])
    decision = decided([queued("waits", 8)], pool(0), now_running=[low])
    assert ([each.job_id for each in decision.preempts], decision.shrinks) == (["low"], ())


def test_several_jobs_shrink_if_one_is_not_enough_the_least_work_lost_first() -> None:
    jobs = [elastic("dear", 4, unsaved=HOUR), elastic("cheap", 4, unsaved=1.0)]
    assert shrunk([queued("waits", 2)], pool(0), *jobs) == {"cheap": 2}
    assert shrunk([queued("waits", 4)], pool(0), *jobs) == {"cheap": 1, "dear": 2}


def test_jobs_shrink_as_far_as_a_limited_pool_asks_wherever_the_devices_are() -> None:
    one = limited(pool(0, 8), 8, held=8)
    assert shrunk([queued("waits", 4)], one, elastic("job", 8)) == {"job": 4}
    assert shrunk([queued("waits", 6)], one, elastic("job", 8)) == {"job": 2}
    jobs = [elastic("dear", 4, unsaved=HOUR), elastic("cheap", 4, unsaved=1.0)]
    assert shrunk([queued("waits", 5)], one, *jobs) == {"cheap": 1, "dear": 2}
    assert shrunk([queued("waits", 7)], one, *jobs) == {}


def test_a_job_that_has_just_changed_shrinks_only_for_a_higher_priority() -> None:
    def waits(**more: Any) -> list[QueuedJob]:
        return [queued("waits", 1, **more)]

    job, settling = elastic("job", 8), HOUR + 1
    assert shrunk(waits(), pool(0), job, settle_seconds=settling) == {}
    assert shrunk(waits(priority="high"), pool(0), job, settle_seconds=settling) == {"job": 4}
    assert shrunk(waits(), pool(0), elastic("ends", 8, ends_in=100.0)) == {}


def test_what_a_job_gives_up_is_kept_until_it_has_left_and_it_goes_on_before_all_others() -> None:
    leaves = elastic("job", 8, is_leaving=True)
    decision = decided([queued("waits", 4)], pool(0), now_running=[leaves], explains=True)
    assert (decision.shrinks, decision.waits["waits"].reason) == ((), "preempting")

    back = replace(queued("job", 4, project="z", smaller=(2, 1)), is_resizing=True)
    queue = [queued("aged", 2, waited=48 * HOUR), queued("waits", 4, priority="high"), back]
    assert started(decided(queue, pool(8), standings={"z": Standing(used=1e9)})) == ["job", "aged"]


@pytest.mark.parametrize(("seen", "grows"), [([8, 8, 8], 8), ([8, 4, 8], 4), ([8, None, 8], None)])
def test_a_job_grows_into_devices_that_were_idle_all_the_time(
    seen: list[int | None], grows: int | None
) -> None:
    rules, settling = Rules(settle_seconds=60.0), Settling()

    def settled(workers: int | None, at: float) -> list[Resize]:
        could = [] if workers is None else [Resize("job", "gpus", 2, workers, HOUR)]
        return settling.settled(could, at, rules)

    first, second, third = (settled(workers, NOW + 30 * tick) for tick, workers in enumerate(seen))
    assert first == second == []
    assert [each.workers for each in third] == ([] if grows is None else [grows])
