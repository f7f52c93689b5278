"""The rules of the policy, each on a small cluster."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cluster.contracts.jobs import Priority
from service.scheduling.policy.decide import decide
from service.scheduling.policy.snapshot import (
    Decision,
    Gang,
    NodeState,
    PoolState,
    Preempt,
    QueuedJob,
    Rules,
    RunningJob,
    Snapshot,
    Standing,
    WaitReason,
)

NOW = 1_000_000.0
HOUR = 3600.0


def pool(*free: int, name: str = "gpus", devices: int = 8, may_grow: int = 0) -> PoolState:
    nodes = tuple(NodeState(f"{name}-{index}", devices, each) for index, each in enumerate(free))
    return PoolState(name, devices, nodes, may_grow)


def queued(
    job_id: str,
    workers: int = 1,
    *,
    project: str = "a",
    priority: Priority = "normal",
    waited: float = 0.0,
    seconds: float = HOUR,
    pools: Sequence[str] = ("gpus",),
    smaller: tuple[int, ...] = (),
    may_preempt: bool = True,
) -> QueuedJob:
    gangs = tuple(Gang(name, workers, seconds, smaller) for name in pools)
    return QueuedJob(job_id, project, priority, NOW - waited, gangs, may_preempt)


def running(
    job_id: str,
    workers: int,
    *,
    node: int | None = 0,
    project: str = "z",
    priority: Priority = "normal",
    ends_in: float = HOUR,
    unsaved: float = 600.0,
    waited: float = 0.0,
    is_leaving: bool = False,
) -> RunningJob:
    started = NOW - HOUR
    nodes = {} if node is None else {f"gpus-{node}": workers}
    return RunningJob(
        job_id, project, priority, started - waited, "gpus", workers, started, NOW + ends_in, NOW - unsaved,
        is_leaving, nodes,
    )  # fmt: skip


def decided(
    queue: Sequence[QueuedJob],
    *pools: PoolState,
    now_running: Sequence[RunningJob] = (),
    standings: dict[str, Standing] | None = None,
    explains: bool = False,
    **rules: Any,
) -> Decision:
    snapshot = Snapshot(NOW, queue, now_running, pools, standings or {})
    return decide(snapshot, Rules(**rules), explains=explains)


def started(decision: Decision) -> list[str]:
    return [start.job_id for start in decision.starts]


def test_the_oldest_jobs_start_as_far_as_there_is_room() -> None:
    queue = [queued("young"), queued("old", waited=20.0), queued("older", waited=30.0)]
    assert started(decided(queue, pool(2))) == ["older", "old"]


def test_a_job_counts_as_younger_by_the_device_time_that_it_takes() -> None:
    queue = [
        queued("large", 4, waited=4.5 * HOUR, seconds=2 * HOUR),
        queued("long", 1, waited=2 * HOUR, seconds=5 * HOUR),
        queued("small", 1, seconds=HOUR),
    ]
    assert started(decided(queue[1:], pool(1))) == ["small"]
    assert started(decided(queue[:2], pool(4))) == ["long"]
    older = queued("large", 4, waited=5.5 * HOUR, seconds=2 * HOUR)
    assert started(decided([older, queue[1]], pool(4))) == ["large"]


def test_a_gang_of_a_whole_node_ages_four_times_as_fast() -> None:
    high = queued("high", 2, priority="high", project="b")
    aged = queued("node", 8, waited=6.5 * HOUR)
    assert started(decided([high, aged], pool(8))) == ["node"]
    assert started(decided([high, queued("part", 7, waited=6.5 * HOUR)], pool(8))) == ["high"]


def test_a_higher_priority_comes_first() -> None:
    queue = [
        queued("old", waited=9.0),
        queued("low", priority="low", waited=99.0),
        queued("h", priority="high"),
    ]
    assert started(decided(queue, pool(2))) == ["h", "old"]


def test_the_project_that_has_had_the_least_for_its_share_comes_first() -> None:
    queue = [queued("of a", waited=9.0), queued("of b", project="b"), queued("of c", project="c")]
    standings = {"a": Standing(100.0), "b": Standing(150.0, weight=3.0), "c": Standing(80.0)}
    assert started(decided(queue, pool(2), standings=standings)) == ["of b", "of c"]


def test_what_a_project_starts_counts_at_once() -> None:
    """An empty cluster is not given to the first project that comes."""
    queue = [queued(f"{project}{place}", project=project) for project in "ab" for place in range(4)]
    assert started(decided(queue, pool(4))) == ["a0", "b0", "a1", "b1"]


def test_a_gang_stands_on_one_node_and_a_larger_one_on_whole_ones() -> None:
    (start,) = decided([queued("four", 4)], pool(3, 5, 4)).starts
    assert start.nodes == {"gpus-2": 4}
    assert started(decided([queued("four", 4)], pool(3, 3))) == []
    (start,) = decided([queued("large", 18)], pool(8, 7, 8, 2)).starts
    assert start.nodes == {"gpus-0": 8, "gpus-2": 8, "gpus-3": 2}
    assert started(decided([queued("large", 16)], pool(8, 7, 7))) == []


def test_an_emptier_node_is_taken_rather_than_a_fuller_one_with_faults() -> None:
    """One bad GPU does not fail a job for good while there are others."""
    state = pool(3, 8, 8)
    bad, *good = state.nodes
    (start,) = decided([queued("one")], replace(state, nodes=(*good, replace(bad, faults=1)))).starts
    assert start.nodes == {"gpus-1": 1}
    (start,) = decided([queued("one")], replace(state, nodes=(replace(bad, faults=1),))).starts
    assert start.nodes == {"gpus-0": 1}, "the others are no longer there"


def test_a_job_starts_elsewhere_than_where_it_has_failed_if_there_is_room() -> None:
    one = replace(queued("one", 2), failed_on=frozenset({"gpus-0"}))
    assert [start.nodes for start in decided([one], pool(3, 8)).starts] == [{"gpus-1": 2}]
    assert [start.nodes for start in decided([one], pool(3, 1)).starts] == [{"gpus-0": 2}]
    assert [start.nodes for start in decided([queued("other", 2)], pool(3, 8)).starts] == [{"gpus-0": 2}]
    # Among nodes with faults, it takes one where others have failed.
    state = pool(3, 8)
    faulty = replace(state, nodes=tuple(replace(node, faults=1) for node in state.nodes))
    assert [start.nodes for start in decided([one], faulty).starts] == [{"gpus-1": 2}]
    large = replace(queued("large", 16), failed_on=frozenset({"gpus-0"}))
    assert [set(start.nodes) for start in decided([large], pool(8, 8, 8)).starts] == [{"gpus-1", "gpus-2"}]


def test_the_cheapest_pool_with_room_is_taken() -> None:
    queue = [
        queued("one", 2, pools=["cheap", "dear"]),
        queued("two", 2, waited=-1.0, pools=["cheap", "dear"]),
    ]
    decision = decided(queue, pool(3, name="cheap"), pool(8, name="dear"))
    assert [(start.job_id, start.pool) for start in decision.starts] == [("one", "cheap"), ("two", "dear")]


def test_jobs_behind_a_reservation_start_only_if_they_do_not_delay_it() -> None:
    """The large gang can start in an hour on the first node. The second node is nobody's."""
    holds = [running("first", 6, node=0, ends_in=HOUR), running("second", 6, node=1, ends_in=2 * HOUR)]
    large = queued("large", 8, waited=9.0)

    def with_large(*others: QueuedJob, free: Sequence[int] = (2, 2)) -> list[str]:
        return started(decided([large, *others], pool(*free), now_running=holds))

    assert with_large(queued("long", 2, seconds=9 * HOUR)) == ["long"]
    assert with_large(queued("long", 2, seconds=9 * HOUR), free=(2, 0)) == []
    assert with_large(queued("short", 2, seconds=HOUR / 2), free=(2, 0)) == ["short"]


def test_a_reservation_leaves_the_devices_of_its_node_that_it_does_not_need() -> None:
    holds = [running("first", 6, ends_in=HOUR)]
    queue = [queued("five", 5, waited=9.0), *(queued(f"one {n}", seconds=9 * HOUR) for n in range(2))]
    assert started(decided(queue, pool(2), now_running=holds)) == ["one 0", "one 1"]
    queue.append(queued("one 2", seconds=9 * HOUR))
    assert len(started(decided(queue, pool(2), now_running=holds))) == 2
    seven = [queued("seven", 7, waited=9.0), *queue[1:]]
    assert len(started(decided(seven, pool(2), now_running=holds))) == 1


def test_whole_nodes_are_reserved_for_a_gang_of_several() -> None:
    holds = [
        running("a", 8, node=0, ends_in=3 * HOUR),
        running("b", 7, node=1, ends_in=HOUR),
        running("c", 7, node=2, ends_in=2 * HOUR),
    ]
    queue = [queued("two nodes", 16, waited=9.0), queued("long", 1, seconds=20 * HOUR)]
    assert started(decided(queue, pool(0, 1, 1), now_running=holds)) == []
    assert started(
        decided(queue, pool(0, 1, 1, 1), now_running=[*holds, running("d", 7, node=3, ends_in=4 * HOUR)])
    ) == ["long"]


def test_a_gang_that_no_pool_can_ever_hold_blocks_none() -> None:
    queue = [queued("huge", 9, waited=9.0), queued("nowhere", waited=8.0, pools=[]), queued("small")]
    decision = decided(queue, pool(2), explains=True)
    assert started(decision) == ["small"]
    assert decision.waits["nowhere"].reason is WaitReason.NO_POOL
    assert decision.waits["huge"].starts_at is None


def test_a_job_past_the_ageing_cap_comes_before_priority_and_share() -> None:
    queue = [
        queued("high", 2, priority="high", project="b"),
        queued("aged", 2, priority="low", waited=25 * HOUR),
    ]
    assert started(decided(queue, pool(2), standings={"a": Standing(1e9)})) == ["aged"]


def test_aged_jobs_take_no_more_than_their_part_of_a_pool_ahead_of_others() -> None:
    flood = [queued(f"flood {n}", project="flood", waited=30 * HOUR - n) for n in range(8)]
    others = [queued(f"other {n}", project="b") for n in range(8)]
    decision = decided([*flood, *others], pool(8), standings={"flood": Standing(1e9)})
    assert started(decision) == [*(f"flood {n}" for n in range(4)), *(f"other {n}" for n in range(4))]
    holds = [running("earlier", 4, waited=30 * HOUR)]
    decision = decided([*flood, *others], pool(4), now_running=holds, standings={"flood": Standing(1e9)})
    assert started(decision) == [f"other {n}" for n in range(4)]


def test_aged_jobs_beyond_their_quota_leave_their_part_of_a_pool_to_others() -> None:
    """A project may hold one device, and its flood has aged for that. So has a job of another one."""
    flood = [queued(f"flood {n}", project="flood", waited=50 * HOUR - n) for n in range(8)]
    aged, high = queued("aged", 2, waited=25 * HOUR), queued("high", 4, priority="high", project="b")
    quota = {"flood": Standing(hard_devices=1)}
    assert started(decided([*flood, aged, high], pool(4), standings=quota)) == ["flood 0", "aged"]
    holds = [running("flood's", 1, project="flood")]
    decision = decided([*flood, aged, high], pool(4), now_running=holds, standings=quota)
    assert started(decision) == ["aged"]


def test_a_hard_quota_always_holds_and_keeps_no_devices() -> None:
    queue = [queued("of a", 4, waited=9.0), queued("small", 1, waited=8.0), queued("of b", 4, project="b")]
    holds = [running("a's", 3, project="a")]
    decision = decided(
        queue, pool(5), now_running=holds, standings={"a": Standing(hard_devices=4)}, explains=True
    )
    assert set(started(decision)) == {"small", "of b"}
    assert decision.waits["of a"].reason is WaitReason.PROJECT_QUOTA
    assert decision.waits["of a"].detail == "its project may hold 4 devices, and holds 4."


def test_a_soft_quota_holds_only_while_others_wait() -> None:
    queue = [queued("of a", 4, waited=9.0), queued("of b", 4, project="b")]
    standings = {"a": Standing(soft_devices=2), "b": Standing(used=1e9)}
    assert started(decided(queue, pool(4), standings=standings)) == ["of b"]
    assert started(decided(queue[:1], pool(4), standings=standings)) == ["of a"]


def test_preemption_takes_the_lowest_priority_that_loses_the_least_and_is_enough() -> None:
    holds = [
        running("much", 4, priority="low", unsaved=900.0),
        running("little", 2, priority="low", unsaved=60.0),
        running("some", 2, priority="low", unsaved=300.0),
        running("normal", 8, node=1, unsaved=1.0),
    ]
    assert decided([queued("h", 2, priority="high")], pool(0, 0), now_running=holds).preempts == (
        Preempt("little", "h"),
    )
    # The two smaller ones together lose less, and "little" alone would not be enough.
    four = decided([queued("h", 4, priority="high")], pool(0, 0), now_running=holds)
    assert {each.job_id for each in four.preempts} == {"little", "some"}
    assert decided([queued("n", 2)], pool(0, 0), now_running=holds).preempts == (Preempt("little", "n"),)
    assert decided([queued("l", 2, priority="low")], pool(0, 0), now_running=holds).preempts == ()


def test_preemption_frees_enough_or_nothing() -> None:
    holds = [running("low", 4, priority="low"), running("normal", 4)]
    assert decided([queued("n", 8)], pool(0), now_running=holds).preempts == ()
    assert {
        each.job_id
        for each in decided([queued("h", 8, priority="high")], pool(0), now_running=holds).preempts
    } == {
        "low",
        "normal",
    }


def test_no_more_is_preempted_while_enough_is_leaving() -> None:
    holds = [running("leaving", 4, priority="low", is_leaving=True), running("low", 4, priority="low")]
    high = queued("h", 4, priority="high", waited=9.0)
    decision = decided([high], pool(0), now_running=holds, explains=True)
    assert decision.preempts == ()
    assert decision.waits["h"].reason is WaitReason.PREEMPTING
    both = decided([high, queued("h2", 4, priority="high")], pool(0, 0), now_running=holds)
    assert both.preempts == ()
    holds.append(running("low too", 4, node=1, priority="low"))
    both = decided([high, queued("h2", 4, priority="high")], pool(0, 0), now_running=holds)
    assert both.preempts == (Preempt("low too", "h2"),)


def test_what_was_preempted_or_has_aged_is_left_in_peace() -> None:
    holds = [running("low", 8, priority="low")]
    assert decided([queued("n", 2, may_preempt=False)], pool(0), now_running=holds).preempts == ()
    aged = [running("low", 8, priority="low", waited=25 * HOUR)]
    assert decided([queued("h", 2, priority="high")], pool(0), now_running=aged).preempts == ()
    assert (
        decided([queued("h", 2, priority="high")], pool(0), now_running=holds, may_preempt=False).preempts
        == ()
    )


def test_devices_of_the_preempted_are_for_the_one_they_left_for() -> None:
    holds = [running("leaving", 2, priority="low", is_leaving=True), running("other", 4)]
    queue = [queued("h", 4, priority="high"), queued("short", 2, seconds=1.0)]
    assert started(decided(queue, pool(2), now_running=holds)) == []


def test_a_pool_that_may_grow_is_asked_to_before_anything_is_preempted() -> None:
    queue = [queued(name, 8, priority="high", waited=age) for name, age in (("h", 3.0), ("second", 2.0))]
    holds = [running("low", 8, priority="low")]
    decision = decided([*queue, queued("third", 8)], pool(0, may_grow=2), now_running=holds, explains=True)
    assert [each.job_id for each in decision.demand] == ["h", "second"]
    assert decision.waits["h"].reason is WaitReason.POOL_GROWING
    assert decision.preempts == (Preempt("low", "third"),)


def test_an_elastic_gang_starts_smaller_and_takes_longer() -> None:
    elastic = queued("elastic", 8, smaller=(4, 2))
    (start,) = decided([elastic], pool(5)).starts
    assert start.workers == 4
    assert started(decided([elastic], pool(1))) == []
    (start,) = decided([elastic], pool(8), standings={"a": Standing(hard_devices=3)}).starts
    assert start.workers == 2
    (asked,) = decided([elastic], pool(1, devices=4, may_grow=1)).demand
    assert asked.workers == 4


def test_jobs_whose_nodes_are_unknown_are_taken_to_be_where_devices_are_held() -> None:
    holds = [running("somewhere", 6, node=None, ends_in=HOUR)]
    queue = [queued("large", 8, waited=9.0), queued("long", 1, seconds=9 * HOUR)]
    assert started(decided(queue, pool(2), now_running=holds)) == []


def test_waits_are_explained_with_positions_and_times() -> None:
    holds = [running("first", 6, ends_in=HOUR)]
    queue = [
        queued("large", 8, waited=9.0, seconds=HOUR),
        queued("next", 1, seconds=2 * HOUR, project="c"),
        queued("b's", 4, project="b", waited=-1.0),
    ]
    decision = decided(
        queue, pool(2), now_running=holds, standings={"b": Standing(1e9), "c": Standing(1e8)}, explains=True
    )
    large, following, last = (decision.waits[each] for each in ("large", "next", "b's"))
    assert (large.position, following.position, last.position) == (1, 2, 3)
    assert (large.starts_at, large.ends_at) == (NOW + HOUR, NOW + 2 * HOUR)
    assert large.reason is WaitReason.POOL_FULL
    assert large.detail == "needs 8 devices of pool gpus; 2 are free."
    assert following.reason is WaitReason.BEHIND_RESERVATION
    assert following.starts_at == last.starts_at == NOW + 2 * HOUR


def test_a_job_is_expected_when_its_projects_earlier_jobs_end_and_keeps_nothing_from_others() -> None:
    """A project may hold four devices, and another one has no quota."""
    holds = [running("a's", 3, project="a", ends_in=2 * HOUR), running("other", 4, ends_in=HOUR)]
    queue = [queued(f"of a {n}", 4, waited=60.0 - n, seconds=HOUR) for n in range(2)]
    queue.append(queued("of b", 3, project="b"))
    standings = {"a": Standing(hard_devices=4), "b": Standing(used=1e9)}
    waits = decided(queue, pool(1), now_running=holds, standings=standings, explains=True).waits
    assert [waits[f"of a {n}"].starts_at for n in range(2)] == [NOW + 2 * HOUR, NOW + 3 * HOUR]
    assert [waits[f"of a {n}"].position for n in range(2)] == [1, 2]
    assert waits["of b"].starts_at == NOW + HOUR
    # Those that start now hold devices of the quota, too.
    queue = [queued("first", 3, waited=60.0, seconds=HOUR), queued("second", 3)]
    decision = decided(queue, pool(8), standings=standings, explains=True)
    assert (started(decision), decision.waits["second"].starts_at) == (["first"], NOW + HOUR)


def test_waits_are_the_same_decision_with_more_words() -> None:
    queue = [queued("large", 8, waited=9.0), queued("one"), queued("two", 2, project="b")]
    plain, explained = (decided(queue, pool(5), explains=each) for each in (False, True))
    assert (plain.starts, plain.preempts, plain.demand) == (
        explained.starts,
        explained.preempts,
        explained.demand,
    )
    assert plain.waits == {}
    assert set(explained.waits) == {"large"}


def test_nobody_is_told_an_end_that_is_only_a_guess() -> None:
    gang = Gang("gpus", 1, HOUR, is_guess=True)
    unknown = QueuedJob("unknown", "a", "normal", NOW, (gang,))
    decision = decided([unknown], pool(0), now_running=[running("first", 8)], explains=True)
    wait = decision.waits["unknown"]
    assert (wait.starts_at, wait.ends_at) == (NOW + HOUR, None)


def limited(state: PoolState, limit: int, *, held: int = 0) -> PoolState:
    return replace(state.with_room(limit - held), limit=limit)


def test_a_job_that_needs_more_of_a_pool_than_jobs_may_hold_is_told_so() -> None:
    queue = [queued("large", 4), queued("small", 2, project="b")]
    decision = decided(queue, limited(pool(4, 4, devices=4), 2), explains=True)
    assert started(decision) == ["small"]
    wait = decision.waits["large"]
    assert (wait.reason, wait.starts_at) == (WaitReason.POOL_LIMITED, None)
    assert wait.detail == "needs 4 devices of pool gpus, of which jobs may hold 2 at present."
    # Of two devices that are held beyond the limit, the first to be free is not for others.
    held = [running("first", 1), running("second", 1, ends_in=2 * HOUR)]
    one = limited(pool(0, devices=2), 1, held=2)
    decision = decided([queued("next")], one, now_running=held, explains=True)
    assert decision.waits["next"].starts_at == NOW + 2 * HOUR


def test_what_a_job_ran_before_it_made_room_is_no_waiting() -> None:
    high = queued("high", 8, priority="high")
    ran = queued("low", 8, priority="low", waited=7 * HOUR, may_preempt=False)
    ran = replace(ran, held_seconds=HOUR + 60)
    assert started(decided([high, ran], pool(8))) == ["high"]
    again = replace(running("low", 8, priority="low", waited=7 * HOUR), held_seconds=HOUR + 60)
    assert [each.job_id for each in decided([high], pool(0), now_running=[again]).preempts] == ["low"]
    aged = replace(ran, held_seconds=60)
    assert started(decided([high, aged], pool(8))) == ["low"]


def test_nobody_makes_room_in_vain_in_a_limited_pool() -> None:
    high = queued("high", 4, priority="high")
    runs = running("runs", 4)
    decision = decided([high], limited(pool(4), 0, held=4), now_running=[runs], explains=True)
    assert (decision.preempts, decision.waits["high"].reason) == ((), WaitReason.POOL_LIMITED)
    # With three devices too many in use, one job of four is not enough.
    more = [runs, running("more", 3, node=1)]
    decision = decided([high], limited(pool(4, 5), 4, held=7), now_running=more)
    assert {each.job_id for each in decision.preempts} == {"runs", "more"}
    decision = decided([high], limited(pool(4, 5), 7, held=7), now_running=more)
    assert [each.job_id for each in decision.preempts] == ["runs"]


def test_gangs_of_whole_nodes_start_in_a_limited_pool_and_are_not_overtaken() -> None:
    runs = running("runs", 4)
    assert started(decided([queued("node", 8)], limited(pool(4, 8), 12, held=4), now_running=[runs])) == [
        "node"
    ]
    spread = [running(f"{node}-{number}", 1, node=node) for node in (0, 1) for number in range(3)]
    queue = [queued("node", 8, waited=60), queued("long", project="b", seconds=2 * HOUR)]
    queue.append(queued("short", project="b", seconds=HOUR / 2))
    decision = decided(queue, limited(pool(5, 5, 8), 8, held=6), now_running=spread, explains=True)
    assert started(decision) == ["short"]
    assert decision.waits["node"].starts_at == NOW + HOUR


def test_room_that_a_job_makes_for_another_is_not_taken_by_those_behind() -> None:
    high = queued("high", 5, priority="high", seconds=2 * HOUR)
    waits, short = queued("waits", 2), queued("short", 1, priority="low", seconds=HOUR / 2)
    for is_leaving in (False, True):
        low = running("low", 4, priority="low", is_leaving=is_leaving)
        now = limited(pool(0, 4, 4, devices=4), 5, held=4)
        decision = decided([high, waits, short], now, now_running=[low])
        assert [each.job_id for each in decision.preempts] == ([] if is_leaving else ["low"])
        assert started(decision) == []
    # Of six devices, the high one leaves one to anybody who gives it back in time.
    more = limited(pool(0, 4, 4, devices=4), 6, held=4)
    assert started(decided([high, waits, short], more, now_running=[low])) == ["short"]


def test_room_is_kept_for_the_first_that_waits_from_when_one_that_others_make_room_for_ends() -> None:
    """The high one needs five of ten devices for two hours, and the first that waits can have six then."""
    holds = [running("low", 4, priority="low"), running("runs", 4, node=1, ends_in=9 * HOUR)]
    high = queued("high", 5, priority="high", seconds=2 * HOUR)
    waits = queued("waits", 6, waited=9.0)
    now = limited(pool(0, 0, 4, 4, 4, devices=4), 10, held=8)

    def behind(hours: float) -> list[str]:
        other = queued("behind", 1, priority="low", seconds=hours * HOUR)
        return started(decided([high, waits, other], now, now_running=holds))

    assert behind(1.5) == ["behind"]
    assert behind(3) == []


def test_room_for_the_first_that_waits_stays_its_own_when_others_make_room_for_the_next() -> None:
    holds = [running("ends", 2, ends_in=HOUR), running("low", 3, node=1, priority="low", ends_in=9 * HOUR)]
    first = queued("first", 4, priority="high", may_preempt=False)
    short = queued("short", 1, seconds=HOUR / 2)
    following = queued("next", 3, seconds=9 * HOUR)
    long = queued("long", 1, priority="low", seconds=9 * HOUR)
    now = limited(pool(2, 1, 4, 4, devices=4), 7, held=5)
    decision = decided([first, short, following, long], now, now_running=holds)
    assert ([each.job_id for each in decision.preempts], started(decision)) == (["low"], ["short"])


def test_a_pool_grows_as_far_as_its_limit() -> None:
    state = limited(pool(devices=8, may_grow=2), 4)
    asked = decided([queued("a", 3), queued("b", 3), queued("c", 1)], state).demand
    assert sorted(each.workers for each in asked) == [1, 3]


def test_free_devices_that_do_not_suffice_anywhere_are_not_said_to_be_models() -> None:
    decision = decided([queued("node", 8)], pool(4, 4), explains=True)
    assert decision.waits["node"].reason is WaitReason.POOL_FULL
    assert decision.waits["node"].detail.endswith("8 are free, but not together on as few nodes as it needs.")


def test_a_job_that_only_models_keep_waiting_is_told_so() -> None:
    served = replace(pool(2), for_models=4)
    decision = decided([queued("one", 4), queued("two", 8, project="b")], served, explains=True)
    assert decision.waits["one"].reason is WaitReason.GPU_SERVING
    assert (
        decision.waits["one"].detail
        == "needs 4 devices of pool gpus; 2 are free, and models are served on 4."
    )
    assert decision.waits["two"].reason is WaitReason.POOL_FULL


def test_a_gang_that_is_larger_than_what_a_pool_may_still_grow_by_gets_its_nodes() -> None:
    """The pool may have four nodes. A first one stands, and the others join one by one."""
    gang, small = queued("gang", 32, waited=60.0), queued("small", 1, project="b", seconds=9 * HOUR)
    for standing in (1, 2, 3):
        now = pool(*[8] * standing, may_grow=4 - standing)
        decision = decided([gang, small], now, explains=True)
        assert [(each.job_id, each.workers) for each in decision.demand] == [("gang", 32)]
        assert started(decision) == [], "the nodes that stand are kept for the gang"
        assert decision.waits["gang"].reason is WaitReason.POOL_GROWING
    assert started(decided([gang, small], pool(8, 8, 8, 8))) == ["gang"]


def test_nothing_is_kept_for_nodes_that_do_not_come_but_they_are_still_asked_for() -> None:
    gang, small = queued("gang", 32, waited=60.0), queued("small", 8, project="b", seconds=9 * HOUR)
    stalled = replace(pool(8, 8, may_grow=2), is_growth_stalled=True)
    for explains in (True, False):
        decision = decided([gang, small], stalled, explains=explains)
        assert started(decision) == ["small"]
        assert [(each.job_id, each.workers) for each in decision.demand] == [("gang", 32)]
    waits = decided([gang, small], stalled, explains=True).waits
    assert waits["gang"].reason is WaitReason.POOL_GROWING
    assert "to which none has been added for 20m0s or more" in waits["gang"].detail


def test_a_job_for_a_pool_that_does_not_grow_gets_room_in_another_one_of_its_pools() -> None:
    gang = queued("gang", 8, priority="high", pools=("gpus", "others"))
    stalled, others = replace(pool(may_grow=2), is_growth_stalled=True), pool(0, name="others")
    holds = [replace(running("low", 8, node=None, priority="low"), pool="others")]
    assert decided([gang], stalled, others, now_running=holds).preempts == (Preempt("low", "gang"),)
    growing = replace(stalled, is_growth_stalled=False)
    assert decided([gang], growing, others, now_running=holds).preempts == ()


def test_no_more_nodes_are_asked_for_than_a_pool_may_have_also_if_none_come() -> None:
    stalled = replace(pool(may_grow=2), is_growth_stalled=True)
    queue = [queued(name, 8, project=name, waited=waited) for name, waited in (("a", 3), ("b", 2), ("c", 1))]
    assert [each.job_id for each in decided(queue, stalled).demand] == ["a", "b"]
    limited_pool = replace(limited(pool(may_grow=2), 8), is_growth_stalled=True)
    assert [each.job_id for each in decided([queued("d", 16)], limited_pool).demand] == []


def test_jobs_that_end_before_new_nodes_join_start_on_those_that_are_kept() -> None:
    gang, short = queued("gang", 16, waited=60.0), queued("short", 1, project="b", seconds=240.0)
    assert started(decided([gang, short], pool(8, may_grow=1))) == ["short"]
    runs = [running("short", 1, ends_in=240.0)]
    (asked,) = decided([gang], pool(7, may_grow=1), now_running=runs).demand
    assert (asked.job_id, asked.workers) == ("gang", 16)


def test_a_gang_that_needs_a_node_in_use_keeps_it_and_new_ones_for_when_it_is_free() -> None:
    gang = queued("gang", 32, waited=60.0)
    holds = [running("long", 4, ends_in=2 * HOUR)]

    def behind(seconds: float, workers: int) -> Decision:
        other = queued("behind", workers, project="b", seconds=seconds)
        return decided([gang, other], pool(4, may_grow=3), now_running=holds)

    assert (started(behind(HOUR, 2)), started(behind(3 * HOUR, 2))) == (["behind"], [])
    # The gang asks for nothing that would be idle for hours; others may use it for as long.
    assert [each.job_id for each in behind(HOUR, 8).demand] == ["behind"]
    assert behind(3 * HOUR, 8).demand == ()


def test_a_gang_of_a_high_priority_preempts_on_the_nodes_that_it_needs_beside_new_ones() -> None:
    gang, holds = queued("gang", 32, priority="high"), [running("low", 4, priority="low", ends_in=9 * HOUR)]
    decision = decided([gang], pool(4, may_grow=3), now_running=holds)
    assert decision.preempts == (Preempt("low", "gang"),)
    leaving = [replace(holds[0], is_leaving=True)]
    assert [each.workers for each in decided([gang], pool(4, may_grow=3), now_running=leaving).demand] == [32]


def test_nodes_are_added_for_no_more_than_a_hard_quota() -> None:
    quota = {"a": Standing(hard_devices=8)}
    queue = [queued(f"job {n}", 8, waited=60.0 - n) for n in range(12)]
    decision = decided(queue, pool(may_grow=16), standings=quota, explains=True)
    assert [each.job_id for each in decision.demand] == ["job 0"]
    wait = decision.waits["job 1"]
    assert wait.reason is WaitReason.PROJECT_QUOTA
    assert wait.detail == "its project may hold 8 devices, holds 0, and is about to get 8."
    (asked,) = decided([queued("elastic", 16, smaller=(8, 4))], pool(may_grow=16), standings=quota).demand
    assert asked.workers == 8


def test_a_job_that_needs_more_than_its_project_may_ever_hold_is_told_so() -> None:
    quota = {"a": Standing(hard_devices=2)}
    wait = decided([queued("large", 8, smaller=(4,))], pool(8), standings=quota, explains=True).waits["large"]
    assert (wait.reason, wait.starts_at) == (WaitReason.PROJECT_QUOTA, None)
    assert wait.detail == "needs 4 devices, but its project may hold 2 at most (max_devices)."


def test_jobs_make_room_for_no_more_than_a_hard_quota() -> None:
    queue = [queued(name, 8, priority="high") for name in ("first", "second")]
    holds = [running(f"low {n}", 8, node=n, priority="low") for n in range(2)]
    quota = {"a": Standing(hard_devices=8)}
    assert len(decided(queue, pool(0, 0), now_running=holds, standings=quota).preempts) == 1
