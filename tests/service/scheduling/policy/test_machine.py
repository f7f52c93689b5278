"""Drives the policy with a cluster that changes in every way: jobs are sent, end and leave, nodes are lost
and join, pools grow and quotas change. After every decision the promises of the policy are checked.

The last test gives it policies with planted bugs, which it must find."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from cluster.contracts.jobs import Priority
from service.scheduling.policy.decide import decide
from service.scheduling.policy.fair_order import RANKS, expected_end
from service.scheduling.policy.placement import ADDING_SECONDS, fit
from service.scheduling.policy.snapshot import (
    Decision,
    Gang,
    NodeState,
    PoolState,
    QueuedJob,
    Rules,
    RunningJob,
    Snapshot,
    Standing,
)

HOUR = 3600.0
PER_NODE = {"small": 2, "large": 4}
RULES = Rules(ageing_seconds=8 * HOUR)
NONE = 10**9


def told_to_leave(decision: Decision) -> list[str]:
    """The running jobs that are to save their state, by id."""
    resized = [each.job_id for each in (*decision.shrinks, *decision.growths)]
    return [each.job_id for each in decision.preempts] + resized


def age(job: QueuedJob | RunningJob) -> tuple[float, str]:
    return job.queued_at, job.job_id


class Machine(RuleBasedStateMachine):
    decide: Callable[[Snapshot, Rules], Decision] = staticmethod(decide)

    def __init__(self) -> None:
        super().__init__()
        self.at = 0.0
        self.count = 0
        self.queue: dict[str, QueuedJob] = {}
        self.running: dict[str, RunningJob] = {}
        self.nodes: dict[str, list[str]] = {name: [f"{name}-{n}" for n in range(2)] for name in PER_NODE}
        self.growth = {"small": 0, "large": 0}
        self.standings = {project: Standing() for project in "abc"}
        self.displaced: set[str] = set()
        self.sizes: dict[str, tuple[int, ...]] = {}
        self.went_on: set[str] = set()
        self.resizes: dict[str, int] = {}
        """The workers with which jobs that leave go on."""

    @rule(
        project=st.sampled_from("abc"),
        priority=st.sampled_from(("low", "normal", "high")),
        workers=st.integers(1, 8),
        fewest=st.none() | st.integers(1, 8),
        hours=st.integers(1, 6),
        pools=st.sampled_from((("small",), ("large",), ("small", "large"), ())),
    )
    def send(
        self,
        project: str,
        priority: Priority,
        workers: int,
        fewest: int | None,
        hours: int,
        pools: tuple[str, ...],
    ) -> None:
        """`fewest`: an elastic job."""
        job_id = f"job-{self.count}"
        self.count += 1
        smaller = tuple(range(workers - 1, (fewest or workers) - 1, -1))
        gangs = tuple(Gang(pool, workers, hours * HOUR, smaller) for pool in pools)
        self.sizes[job_id] = (workers, *smaller)
        self.queue[job_id] = QueuedJob(job_id, project, priority, self.at, gangs)
        self.tick()

    @rule(which=st.integers(0, 99), seconds=st.sampled_from((0.0, 60.0, HOUR, 9 * HOUR)))
    def end(self, which: int, seconds: float) -> None:
        self.at += seconds
        if self.running:
            del self.running[sorted(self.running)[which % len(self.running)]]
        self.tick()

    @rule(seconds=st.sampled_from((60.0, HOUR, 9 * HOUR)))
    def pass_time(self, seconds: float) -> None:
        """Those that were told to leave have left, and wait again."""
        self.at += seconds
        for job in [job for job in self.running.values() if job.is_leaving]:
            is_resizing = job.job_id in self.resizes
            self.put_back(job, may_preempt=is_resizing and job.job_id not in self.displaced)
        self.tick()

    @rule(pool=st.sampled_from(tuple(PER_NODE)), which=st.integers(0, 9))
    def lose_node(self, pool: str, which: int) -> None:
        if self.nodes[pool]:
            lost = self.nodes[pool].pop(which % len(self.nodes[pool]))
            for job in [job for job in self.running.values() if lost in job.nodes]:
                self.put_back(job, may_preempt=job.job_id not in self.displaced)
        self.tick()

    @rule(pool=st.sampled_from(tuple(PER_NODE)))
    def join_node(self, pool: str) -> None:
        self.count += 1
        self.nodes[pool].append(f"{pool}-new-{self.count}")
        self.tick()

    @rule(pool=st.sampled_from(tuple(PER_NODE)), growth=st.integers(0, 2))
    def let_grow(self, pool: str, growth: int) -> None:
        self.growth[pool] = growth
        self.tick()

    @rule(
        project=st.sampled_from("abc"),
        soft=st.none() | st.integers(0, 4),
        hard=st.none() | st.integers(0, 8),
        used=st.floats(0, 1e6),
    )
    def change_standing(self, project: str, soft: int | None, hard: int | None, used: float) -> None:
        self.standings[project] = Standing(used, 1.0, soft, hard)
        self.tick()

    def put_back(self, job: RunningJob, *, may_preempt: bool) -> None:
        del self.running[job.job_id]
        resize_to = self.resizes.pop(job.job_id, None)
        sizes = [size for size in self.sizes[job.job_id] if resize_to is None or size <= resize_to]
        gangs = tuple(Gang(pool, sizes[0], HOUR, tuple(sizes[1:])) for pool in PER_NODE)
        self.queue[job.job_id] = QueuedJob(
            job.job_id, job.project_id, job.priority, job.queued_at, gangs, may_preempt, resize_to is not None
        )
        if not may_preempt:
            self.displaced.add(job.job_id)

    def free(self) -> dict[str, Counter[str]]:
        held: Counter[str] = Counter()
        for job in self.running.values():
            held.update(job.nodes)
        return {
            pool: Counter({node: PER_NODE[pool] - held[node] for node in nodes})
            for pool, nodes in self.nodes.items()
        }

    def tick(self) -> None:
        free = self.free()
        pools = [
            PoolState(
                pool,
                PER_NODE[pool],
                tuple(NodeState(node, PER_NODE[pool], free[pool][node]) for node in nodes),
                self.growth[pool],
            )
            for pool, nodes in self.nodes.items()
        ]
        queue, running = list(self.queue.values()), list(self.running.values())
        snapshot = Snapshot(self.at, queue, running, pools, self.standings)
        decision = type(self).decide(snapshot, RULES)
        self.check_gangs(decision, free)
        self.check_preemption(decision)
        self.check_resizing(decision, free)
        self.carry_out(decision, free)
        self.check_order(decision, free)

    def check_gangs(self, decision: Decision, free: dict[str, Counter[str]]) -> None:
        held = Counter(dict.fromkeys(self.standings, 0))
        for job in self.running.values():
            held[job.project_id] += job.workers
        left = {pool: nodes.copy() for pool, nodes in free.items()}
        assert len({start.job_id for start in decision.starts}) == len(decision.starts)
        for start in decision.starts:
            queued = self.queue[start.job_id]
            assert start.pool in {gang.pool for gang in queued.gangs}, "a pool that the job does not fit"
            assert start.workers in queued.gangs[0].sizes, "a gang in part"
            assert start.workers == sum(start.nodes.values()), "a gang in part"
            assert set(start.nodes) <= set(self.nodes[start.pool]), "a gang over two pools"
            fewest = -(-start.workers // PER_NODE[start.pool])
            assert len(start.nodes) == fewest, "a gang on more nodes than it needs"
            left[start.pool].subtract(start.nodes)
            held[queued.project_id] += start.workers
            hard = self.standings[queued.project_id].hard_devices
            assert hard is None or held[queued.project_id] <= hard, "beyond a hard quota"
        for asked in decision.demand:
            project_id = self.queue[asked.job_id].project_id
            held[project_id] += asked.workers
            hard = self.standings[project_id].hard_devices
            assert hard is None or held[project_id] <= hard, "nodes beyond a hard quota"
        assert all(devices >= 0 for nodes in left.values() for devices in nodes.values()), "over-committed"

    def check_preemption(self, decision: Decision) -> None:
        assert len({each.job_id for each in decision.preempts}) == len(decision.preempts)
        for each in decision.preempts:
            victim, cause = self.running[each.job_id], self.queue[each.for_job]
            assert RANKS[victim.priority] < RANKS[cause.priority], "no lower priority"
            assert not victim.is_leaving, "one that leaves anyway"
            assert cause.job_id not in self.displaced, "preemption cascades"
            cap = RULES.ageing_seconds / (4 if victim.workers >= PER_NODE[victim.pool] else 1)
            assert victim.started_at - victim.queued_at <= cap, "one that has aged"

    def check_resizing(self, decision: Decision, free: dict[str, Counter[str]]) -> None:
        told = told_to_leave(decision)
        assert len(set(told)) == len(told), "told twice"
        started = {start.job_id for start in decision.starts}
        waiting = [job for job in self.queue.values() if job.job_id not in started]
        for each in (*decision.shrinks, *decision.growths):
            job = self.running[each.job_id]
            assert each.workers in self.sizes[each.job_id], "not a size of it"
            assert not job.is_leaving, "one that leaves anyway"
            assert job.ends_at > self.at or self.at - job.started_at >= HOUR, "one that ends"
        for each in decision.shrinks:
            job = self.running[each.job_id]
            assert each.workers < job.workers, "no smaller"
            causes = [other for other in waiting if each.pool in {gang.pool for gang in other.gangs}]
            highest = max(RANKS[other.priority] for other in causes)
            assert RANKS[job.priority] <= highest, "for a lower priority"
            is_settled = self.at - job.started_at >= RULES.settle_seconds
            assert is_settled or RANKS[job.priority] < highest, "too soon"
        left = {pool: nodes.copy() for pool, nodes in free.items()}
        held = Counter(job.project_id for job in self.running.values() for _ in range(job.workers))
        for start in decision.starts:
            left[start.pool].subtract(start.nodes)
            held[self.queue[start.job_id].project_id] += start.workers
        for each in decision.growths:
            job = self.running[each.job_id]
            assert each.workers > job.workers, "no larger"
            assert self.at - job.started_at >= RULES.settle_seconds, "too soon"
            held[job.project_id] += each.workers - job.workers
            hard = self.standings[job.project_id].hard_devices
            assert hard is None or held[job.project_id] <= hard, "beyond a hard quota"
            assert not any(
                each.pool == gang.pool and self.may_start(other, held)
                for other in waiting
                for gang in other.gangs
            ), "a job waits for these devices"
            left[each.pool].update(job.nodes)
        for each in decision.growths:
            # Those that grow fit side by side, as nobody else takes a device.
            places = fit(list(left[each.pool].values()), each.workers, PER_NODE[each.pool])
            assert places is not None, "no room"
            names = list(left[each.pool])
            left[each.pool].subtract({names[index]: taken for index, taken in places})

    def carry_out(self, decision: Decision, free: dict[str, Counter[str]]) -> None:
        self.went_on = {start.job_id for start in decision.starts if self.queue[start.job_id].is_resizing}
        for start in decision.starts:
            started = self.queue.pop(start.job_id)
            self.running[started.job_id] = RunningJob(
                started.job_id, started.project_id, started.priority, started.queued_at, start.pool,
                start.workers, self.at, self.at + started.gangs[0].seconds, self.at, False, start.nodes,
                self.sizes[start.job_id] if len(self.sizes[start.job_id]) > 1 else (),
            )  # fmt: skip
            free[start.pool].subtract(start.nodes)
        self.resizes.update((each.job_id, each.workers) for each in (*decision.shrinks, *decision.growths))
        for job_id in told_to_leave(decision):
            self.running[job_id] = replace(self.running[job_id], is_leaving=True)

    def check_order(self, decision: Decision, free: dict[str, Counter[str]]) -> None:
        """Of the jobs that still wait, the first has no room; and what was started behind it has not taken
        its place: it would not fit either if those that come later had not started. If nodes can be added for
        it, it asks for them, and what stands beside them is left to it."""
        started = {start.job_id for start in decision.starts}
        began = [self.running[job_id] for job_id in started]
        asked = {each.job_id for each in decision.demand}
        if any(job.is_resizing for job in self.queue.values()) or self.has_resized(started):
            return
        for job in self.queue.values():
            if not self.may_start(job):
                continue
            cap = RULES.ageing_seconds
            is_aged = self.at - job.queued_at > cap and self.aged_have_room(job, started)
            waiting = [other for other in self.queue.values() if other.gangs]
            oldest = all(age(job) <= age(other) for other in [*waiting, *began])
            highest = all(
                RANKS[job.priority] > RANKS[other.priority] for other in waiting if other is not job
            )
            if not ((is_aged and oldest) or (highest and not self.any_aged(started))):
                continue
            if job.job_id in asked:
                soon = [self.grown(gang.pool, self.soon(gang.pool, free[gang.pool])) for gang in job.gangs]
                assert any(map(self.fits, job.gangs, soon)), "a later job took what it needs beside new nodes"
            for gang in job.gangs:
                assert not self.fits(gang, free[gang.pool]), "the first job waits although it fits"
                before = free[gang.pool].copy()
                for other in began:
                    comes_later = (
                        RANKS[other.priority] < RANKS[job.priority]
                        if highest and not is_aged
                        else other.queued_at > job.queued_at
                    )
                    if other.pool == gang.pool and comes_later:
                        before.update(other.nodes)
                assert not self.fits(gang, before), "a later job took the place of the first one"
                if job.job_id not in asked:
                    grown_before = self.grown(gang.pool, before)
                    assert not self.fits(gang, grown_before), "the first job asks for no nodes"

    def soon(self, pool: str, free: Counter[str]) -> Counter[str]:
        """What is free by the time that new nodes have joined."""
        found = free.copy()
        for job in self.running.values():
            if job.pool == pool and expected_end(job, self.at) < self.at + ADDING_SECONDS:
                found.update(job.nodes)
        return found

    def grown(self, pool: str, free: Counter[str]) -> Counter[str]:
        new = Counter({f"new node {n}": PER_NODE[pool] for n in range(self.growth[pool])})
        return free + new

    def any_aged(self, started: set[str]) -> bool:
        """Of the jobs that the decision was about."""
        jobs: list[QueuedJob | RunningJob] = [*self.queue.values(), *map(self.running.__getitem__, started)]
        return any(self.at - job.queued_at > RULES.ageing_seconds / 4 for job in jobs)

    def aged_have_room(self, job: QueuedJob, started: set[str]) -> bool:
        """Whether no pool had as many aged jobs as may come first, before the decision."""
        if any(not self.nodes[gang.pool] for gang in job.gangs):
            return False
        aged: Counter[str] = Counter()
        for run in self.running.values():
            if run.job_id not in started and run.started_at - run.queued_at > RULES.ageing_seconds / 4:
                aged[run.pool] += run.workers
        return all(aged[pool] < RULES.aged_share * PER_NODE[pool] * len(self.nodes[pool]) for pool in aged)

    def has_resized(self, started: set[str]) -> bool:
        """Whether jobs have gone on with another number of workers, before all others."""
        return not self.went_on.isdisjoint(started)

    def may_start(self, job: QueuedJob, held: Counter[str] | None = None) -> bool:
        standing = self.standings[job.project_id]
        if held is None:
            held = Counter(each.project_id for each in self.running.values() for _ in range(each.workers))
        hard = NONE if standing.hard_devices is None else standing.hard_devices
        return bool(job.gangs) and held[job.project_id] + job.gangs[0].fewest <= hard

    def fits(self, gang: Gang, free: Counter[str]) -> bool:
        per_node = PER_NODE[gang.pool]
        whole, rest = divmod(gang.fewest, per_node)
        rooms = sorted(free.values(), reverse=True)
        full = sum(room >= per_node for room in rooms)
        return full >= whole and (not rest or any(room >= rest for room in rooms[whole:]))


QUICK = settings(
    max_examples=40,
    stateful_step_count=30,
    # What is found is not made smaller, which takes minutes: the events are few as they are.
    phases=(Phase.generate,),
    report_multiple_bugs=False,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def test_the_policy_keeps_its_promises_whatever_happens() -> None:
    run_state_machine_as_test(Machine, settings=QUICK)


def _overcommitted(snapshot: Snapshot, rules: Rules) -> Decision:
    """Forgets what running jobs hold on nodes with one free device."""
    pools = [
        replace(pool, nodes=tuple(replace(node, free=node.free + (node.free == 1)) for node in pool.nodes))
        for pool in snapshot.pools
    ]
    return decide(replace(snapshot, pools=pools), rules)


def _without_quotas(snapshot: Snapshot, rules: Rules) -> Decision:
    standings = {name: replace(each, hard_devices=None) for name, each in snapshot.standings.items()}
    return decide(replace(snapshot, standings=standings), rules)


def _ruthless(snapshot: Snapshot, rules: Rules) -> Decision:
    """Takes all that runs for jobs of low priority."""
    running = [replace(job, priority="low") for job in snapshot.running]
    return decide(replace(snapshot, running=running), rules)


def _restless(snapshot: Snapshot, rules: Rules) -> Decision:
    return decide(snapshot, replace(rules, settle_seconds=0.0))


def _greedy(snapshot: Snapshot, rules: Rules) -> Decision:
    """Grows as if nobody waited."""
    alone = decide(replace(snapshot, queue=()), rules)
    return replace(decide(snapshot, rules), growths=alone.growths)


def _never_ageing(snapshot: Snapshot, rules: Rules) -> Decision:
    return decide(snapshot, replace(rules, ageing_seconds=float("inf")))


def _never_beside_nodes_that_stand(snapshot: Snapshot, rules: Rules) -> Decision:
    """Asks only for gangs that fit on new nodes alone."""
    most = {pool.name: pool.may_grow_nodes * pool.devices_per_node for pool in snapshot.pools}
    decision = decide(snapshot, rules)
    return replace(decision, demand=tuple(one for one in decision.demand if one.workers <= most[one.pool]))


def _grows_without_quotas(snapshot: Snapshot, rules: Rules) -> Decision:
    return replace(decide(snapshot, rules), demand=_without_quotas(snapshot, rules).demand)


@pytest.mark.parametrize(
    ("bug", "found"),
    [
        (_overcommitted, "over-committed"),
        (_without_quotas, "beyond a hard quota"),
        (_ruthless, "no lower priority"),
        (_restless, "too soon"),
        (_greedy, "a job waits for these devices|took the place"),
        (_never_beside_nodes_that_stand, "asks for no nodes"),
        (_grows_without_quotas, "nodes beyond a hard quota"),
        (_never_ageing, "one that has aged|took the place"),
    ],
)
def test_planted_bugs_are_found(bug: Callable[[Snapshot, Rules], Decision], found: str) -> None:
    class Broken(Machine):
        decide = staticmethod(bug)

    with pytest.raises(AssertionError, match=found):
        run_state_machine_as_test(Broken, settings=settings(QUICK, max_examples=500, print_blob=False))
