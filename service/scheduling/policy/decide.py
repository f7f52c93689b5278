"""The policy: which waiting jobs start now, which running ones make room, and why the others wait.

1. A job that has waited for longer than the ageing cap comes first. The others are in the order of their
   priority, of what their projects have had for their shares, and of age.
2. Each job in this order starts if its gang fits whole, in the first of its pools that has room. For the
   first that must wait in a pool, the devices are kept on which it can start first. Those behind it start if
   they take none of those, or give them back in time (EASY backfill, doi.org/10.1007/3-540-60153-8_35).
3. For a job that must wait, nodes are added if its pool may grow by enough, beside nodes that stand and are
   free by then: those are kept for it. Otherwise it preempts running jobs of a lower priority, if that frees
   enough. Where no node has joined for long, although jobs wait for one, nodes are asked for, but nothing
   is kept until one joins.
   An elastic job of no higher priority goes on with fewer workers instead, if that is enough.
4. Running elastic jobs grow into devices that no job waits for.
5. No project ever holds more devices than its hard quota, and no nodes are added or jobs preempted to exceed
   it. A job of a project beyond its soft quota comes after the other jobs of its priority.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from functools import cached_property

from cluster.contracts.durations import duration
from service.scheduling.policy.fair_order import RANKS, Ageing, FairOrder, by_age, expected_end
from service.scheduling.policy.forecast import Waiting, forecast
from service.scheduling.policy.placement import STALLED_SECONDS, PoolAllocation
from service.scheduling.policy.preemption import make_room
from service.scheduling.policy.resizing import growth, is_changeable, shrink_for
from service.scheduling.policy.snapshot import (
    Decision,
    Demand,
    Gang,
    Preempt,
    QueuedJob,
    Resize,
    Rules,
    RunningJob,
    Snapshot,
    Start,
    WaitReason,
)


def decide(snapshot: Snapshot, rules: Rules, *, explains: bool = False) -> Decision:
    """Decides what happens now. `explains` adds why and until when each job waits, which takes longer than
    the decision itself; doing that every few seconds is enough for people."""
    return _Round(snapshot, rules, explains).decision()


class _Round:
    def __init__(self, snapshot: Snapshot, rules: Rules, explains: bool) -> None:
        self._snapshot, self._rules, self._explains = snapshot, rules, explains
        running: dict[str, list[RunningJob]] = {pool.name: [] for pool in snapshot.pools}
        for job in snapshot.running:
            if job.pool in running:
                running[job.pool].append(job)
        self._pools = {
            pool.name: PoolAllocation(pool, running[pool.name], snapshot.at) for pool in snapshot.pools
        }
        present = {job.priority for job in snapshot.running if rules.may_preempt}
        self._lowest = min((RANKS[priority] for priority in present), default=len(RANKS))
        """Jobs of a higher rank may preempt."""
        self._has_elastic = rules.may_resize and any(job.sizes for job in snapshot.running)
        self._starts: list[Start] = []
        self._preempts: list[Preempt] = []
        self._shrinks: list[Resize] = []
        self._growths: list[Resize] = []
        self._demand: list[Demand] = []
        self._promised = Counter[str]()
        """Devices of each project's jobs for which nodes are added or running jobs make room."""
        self._waiting: list[Waiting] = []
        self._failed: dict[tuple[str, int], int] = {}
        """The smallest gang for which preemption cannot make room, by pool and rank."""
        self._unshrinkable: dict[tuple[str, int], int] = {}
        """The same for shrinking. The rank is one less for jobs that may not shrink their equals."""

    @cached_property
    def _order(self) -> FairOrder:
        return FairOrder(self._snapshot)

    @cached_property
    def _ageing(self) -> Ageing:
        return Ageing(self._snapshot, self._rules)

    def decision(self) -> Decision:
        if self._snapshot.queue:
            self._consider_all()
        if self._has_elastic:
            self._grow()
        waits = {}
        if self._explains:
            waits = forecast(self._snapshot, self._order, self._pools, self._waiting)
        return Decision(
            starts=tuple(self._starts),
            preempts=tuple(self._preempts),
            shrinks=tuple(self._shrinks),
            growths=tuple(self._growths),
            demand=tuple(self._demand),
            waits=waits,
        )

    def _aged(self) -> list[QueuedJob]:
        """The jobs that come first because of their age, oldest first, as far as there is room for aged
        jobs."""
        aged = self._ageing.aged(self._snapshot.queue)
        if not aged:
            return []
        share = self._rules.aged_share
        room = {
            name: share * min(devices.pool.devices, devices.most) for name, devices in self._pools.items()
        }
        for running in filter(self._ageing.had_aged, self._snapshot.running):
            if running.pool in room:
                room[running.pool] -= running.workers
        first = []
        quotas: dict[str, int] = {}
        for job in aged:
            gang = next((gang for gang in job.gangs if room.get(gang.pool, 0) > 0), None)
            quota = quotas.get(job.project_id, self._quota(job.project_id))
            # A job that waits for its own quota does not hold up other aged jobs.
            if gang is not None and gang.fewest <= quota:
                room[gang.pool] -= gang.workers
                quotas[job.project_id] = quota - gang.fewest
                first.append(job)
        return first

    def _is_settled(self, rank: int) -> bool:
        """Whether nothing more can happen for jobs of this rank or a lower one."""
        if self._explains or self._has_elastic:
            return False
        return not any(
            devices.total_free or devices.growth or devices.may_ask or self._may_preempt_in(pool, 1, rank)
            for pool, devices in self._pools.items()
        )

    def _cannot_start(self, job: QueuedJob) -> bool:
        """Whether a quick check shows that the job can only wait, as most of a long queue does."""
        if self._explains:
            return False
        for gang in job.gangs:
            devices = self._pools.get(gang.pool)
            if devices is None:
                continue
            if not devices.has_head or devices.may_ask:
                return False
            for workers in gang.sizes:
                seconds = _seconds(gang, workers)
                if not devices.refuses(workers, seconds) or devices.may_grow_for(workers, seconds):
                    return False
            if self._may_shrink_for(job, gang):
                return False
            if job.may_preempt and self._may_preempt_in(gang.pool, gang.fewest, RANKS[job.priority]):
                return False
        return True

    def _consider_all(self) -> None:
        queue = self._snapshot.queue
        if self._is_settled(max(RANKS[priority] for priority in {job.priority for job in queue})):
            return
        resizing = sorted((job for job in queue if job.is_resizing), key=by_age)
        first = {job.job_id for job in resizing}
        aged = [job for job in self._aged() if job.job_id not in first]
        for job in resizing + aged:
            self._consider(job, is_aged=True)
        first |= {job.job_id for job in aged}
        others = [job for job in queue if job.job_id not in first] if first else queue
        for job in self._order.jobs(others):
            if self._is_settled(RANKS[job.priority]):
                break
            if not self._cannot_start(job):
                self._consider(job)

    def _consider(self, job: QueuedJob, *, is_aged: bool = False) -> None:
        gangs = [gang for gang in job.gangs if gang.pool in self._pools]
        if not gangs:
            self._wait(job, gangs, WaitReason.NO_POOL, "fits none of the pools.", is_aged)
            return
        quota = self._quota(job.project_id)
        within = [gang for gang in gangs if gang.fewest <= quota]
        if not within:
            self._wait(job, gangs, WaitReason.PROJECT_QUOTA, self._why_no_quota(job, gangs), is_aged)
        elif not any(self._starts_in(self._pools[gang.pool], gang, job, quota) for gang in within):
            self._wait(job, within, *self._make_way(job, within, quota), is_aged)

    def _starts_in(self, devices: PoolAllocation, gang: Gang, job: QueuedJob, quota: int) -> bool:
        for workers in gang.sizes:
            if workers > min(quota, devices.total_free):
                continue
            seconds = _seconds(gang, workers)
            places = devices.place(workers, seconds, job.failed_on)
            if places is not None:
                devices.take(places, seconds)
                self._order.hold(job.project_id, workers, seconds)
                self._starts.append(Start(job.job_id, gang.pool, workers, devices.node_ids(places)))
                return True
        return False

    def _make_way(self, job: QueuedJob, gangs: Sequence[Gang], quota: int) -> tuple[WaitReason, str]:
        for gang in gangs:
            if self._grows_for(job, gang, quota):
                detail = f"waits for nodes that are being added to pool {gang.pool}."
                return WaitReason.POOL_GROWING, detail
        for gang in gangs:
            if self._shrinks_for(job, gang) or self._preempts_for(job, gang):
                self._promised[job.project_id] += gang.fewest
                return WaitReason.PREEMPTING, "other jobs are saving their state to make room for it."
        for gang in gangs:
            devices = self._pools[gang.pool]
            if not devices.has_head and devices.can_hold(gang.fewest):
                devices.reserve_for(gang.fewest)
                break
        for gang in gangs:
            if self._asks_for(job, gang, quota):
                waited = duration(round(STALLED_SECONDS))
                detail = (
                    f"needs nodes of pool {gang.pool}, to which none has been added for {waited} or more."
                )
                return WaitReason.POOL_GROWING, detail
        return self._why(gangs[0]) if self._explains else (WaitReason.POOL_FULL, "")

    def _grows_for(self, job: QueuedJob, gang: Gang, quota: int) -> bool:
        devices = self._pools[gang.pool]
        for workers in gang.sizes:
            if workers <= quota and devices.grow_for(workers, _seconds(gang, workers)):
                self._demand.append(Demand(job.job_id, gang.pool, workers))
                self._promised[job.project_id] += workers
                return True
        return False

    def _asks_for(self, job: QueuedJob, gang: Gang, quota: int) -> bool:
        devices = self._pools[gang.pool]
        for workers in gang.sizes:
            if workers <= quota and devices.ask_for(workers):
                self._demand.append(Demand(job.job_id, gang.pool, workers))
                return True
        return False

    def _why_no_quota(self, job: QueuedJob, gangs: Sequence[Gang]) -> str:
        hard = self._order.standing(job.project_id).hard_devices
        held, promised = self._order.held.get(job.project_id, 0), self._promised[job.project_id]
        fewest = min(gang.fewest for gang in gangs)
        if hard is not None and fewest > hard:
            return f"needs {fewest} devices, but its project may hold {hard} at most (max_devices)."
        if promised:
            return f"its project may hold {hard} devices, holds {held}, and is about to get {promised}."
        return f"its project may hold {hard} devices, and holds {held}."

    def _why(self, gang: Gang) -> tuple[WaitReason, str]:
        devices = self._pools[gang.pool]
        noun = "device" if gang.fewest == 1 else "devices"
        if (limit := devices.pool.limit) is not None and gang.fewest > limit:
            detail = (
                f"needs {gang.fewest} {noun} of pool {gang.pool}, of which jobs may hold {limit} at present."
            )
            return WaitReason.POOL_LIMITED, detail
        free = f"{devices.total_free} {'is' if devices.total_free == 1 else 'are'} free"
        detail = f"needs {gang.fewest} {noun} of pool {gang.pool}; {free}"
        if devices.fit(gang.fewest) is not None:
            return WaitReason.BEHIND_RESERVATION, f"{detail}, but kept for a job that comes first."
        if gang.fewest <= devices.total_free:
            return WaitReason.POOL_FULL, f"{detail}, but not together on as few nodes as it needs."
        if gang.fewest <= devices.total_free + devices.pool.for_models:
            return WaitReason.GPU_SERVING, f"{detail}, and models are served on {devices.pool.for_models}."
        return WaitReason.POOL_FULL, f"{detail}."

    def _may_shrink_for(self, job: QueuedJob, gang: Gang) -> bool:
        """Whether running jobs could shrink for it, by a quick check."""
        if not self._has_elastic:
            return False
        rank = RANKS[job.priority] - self._order.is_over(job)
        return gang.fewest < self._unshrinkable.get((gang.pool, rank), sys.maxsize)

    def _shrinks_for(self, job: QueuedJob, gang: Gang) -> bool:
        if not self._may_shrink_for(job, gang):
            return False
        at, rules, devices = self._snapshot.at, self._rules, self._pools[gang.pool]
        rank = RANKS[job.priority] - self._order.is_over(job)
        chosen = self._making_room()

        def may_shrink(running: RunningJob) -> bool:
            is_lower = RANKS[running.priority] < RANKS[job.priority]
            return (
                RANKS[running.priority] <= rank
                and is_changeable(running, at, rules, at_once=is_lower)
                and running.workers > running.sizes[-1]
                and running.job_id not in chosen
            )

        room = shrink_for(devices, gang.fewest, at, may_shrink)
        if room is None:
            self._unshrinkable[gang.pool, rank] = gang.fewest
            return False
        places, shrinking = room
        freed = sum(each.workers - workers for each, workers in shrinking)
        devices.reserve_preempted(places, _seconds(gang, gang.fewest), freed)
        self._shrinks.extend(
            Resize(each.job_id, gang.pool, each.workers, workers, expected_end(each, at) - at)
            for each, workers in shrinking
        )
        return True

    def _grow(self) -> None:
        at, rules = self._snapshot.at, self._rules
        started, making_room = {start.job_id for start in self._starts}, self._making_room()
        wanted: set[str] = set()
        short_projects: set[str] = set()
        """Projects with jobs that wait for the project's own devices."""
        for job in self._snapshot.queue:
            if job.job_id in started:
                continue
            quota = self._quota(job.project_id) + self._promised[job.project_id]
            within = [gang.pool for gang in job.gangs if gang.fewest <= quota]
            wanted.update(within)
            if not within:
                short_projects.add(job.project_id)
        for name, devices in self._pools.items():
            if name in wanted or not devices.total_free:
                continue
            growing = [
                each
                for each in devices.standing()
                if is_changeable(each[0], at, rules)
                and each[0].job_id not in making_room
                and each[0].project_id not in short_projects
            ]
            growing.sort(key=lambda each: (-RANKS[each[0].priority], each[0].workers, each[0].job_id))
            for running, places in growing:
                quota = running.workers + min(self._quota(running.project_id), devices.total_free)
                found = growth(devices, running, places, at, rules, quota)
                if found is not None:
                    resize, there = found
                    devices.move(places, there)
                    self._order.held[running.project_id] += resize.workers - running.workers
                    self._growths.append(resize)

    def _making_room(self) -> set[str]:
        """Ids of the running jobs that this decision pauses or shrinks."""
        return {each.job_id for each in self._preempts} | {each.job_id for each in self._shrinks}

    def _quota(self, project_id: str) -> int:
        """Devices that the project may still take."""
        hard = self._order.standing(project_id).hard_devices
        if hard is None:
            return sys.maxsize
        return hard - self._order.held.get(project_id, 0) - self._promised[project_id]

    def _may_preempt_in(self, pool: str, workers: int, rank: int) -> bool:
        """Whether running jobs could pause for such a gang, by a quick check. If they cannot for one worker,
        they cannot for any gang of this rank or a lower one."""
        return rank > self._lowest and workers < self._failed.get((pool, rank), sys.maxsize)

    def _preempts_for(self, job: QueuedJob, gang: Gang) -> bool:
        if not (job.may_preempt and self._may_preempt_in(gang.pool, gang.fewest, RANKS[job.priority])):
            return False
        at, rank, devices = self._snapshot.at, RANKS[job.priority], self._pools[gang.pool]
        chosen = self._making_room()

        def may_leave(running: RunningJob) -> bool:
            return (
                RANKS[running.priority] < rank
                and not running.is_leaving
                and running.job_id not in chosen
                and not self._ageing.had_aged(running)
            )

        room = make_room(devices, gang.fewest, at, may_leave)
        if room is None:
            self._failed[gang.pool, rank] = gang.fewest
            return False
        places, leaving = room
        freed = sum(each.workers for each in leaving)
        devices.reserve_preempted(places, _seconds(gang, gang.fewest), freed)
        self._preempts.extend(Preempt(each.job_id, job.job_id) for each in leaving)
        return True

    def _wait(
        self, job: QueuedJob, gangs: Sequence[Gang], reason: WaitReason, detail: str, is_aged: bool
    ) -> None:
        if self._explains:
            self._waiting.append(Waiting(job, gangs, reason, detail, is_aged))


def _seconds(gang: Gang, workers: int) -> float:
    """Expected time from start to end with this number of workers."""
    return gang.seconds * gang.workers / workers
