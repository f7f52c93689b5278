"""When waiting jobs are expected to start and to end."""

import heapq
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from service.scheduling.policy.fair_order import FairOrder, expected_end
from service.scheduling.policy.placement import PoolAllocation
from service.scheduling.policy.snapshot import Gang, QueuedJob, Snapshot, Wait, WaitReason


@dataclass(frozen=True, slots=True)
class Waiting:
    job: QueuedJob
    gangs: Sequence[Gang]
    """Gangs that fit into their pool as it is."""
    reason: WaitReason
    detail: str
    is_aged: bool


def forecast(
    snapshot: Snapshot, order: FairOrder, pools: Mapping[str, PoolAllocation], waiting: Sequence[Waiting]
) -> dict[str, Wait]:
    """Returns expected waits by job id. Jobs start one after the other in the policy's order, as if no more
    were submitted; jobs that wait for their project's hard quota let others start in the meantime. Charges
    the expected use to `order`."""
    times = _Times(snapshot, order, pools)
    by_id = {each.job.job_id: each for each in waiting}
    waits: dict[str, Wait] = {}
    late: list[tuple[float, int, Waiting]] = []
    """Jobs that wait for their quota, by the time when it lets them start, and with their positions."""

    def settle(each: Waiting, position: int, option: _Option) -> None:
        ends_at = times.take(each, option)
        expected = None if option.gang.is_guess else ends_at
        waits[each.job.job_id] = Wait(position, each.reason, each.detail, option.starts_at, expected)

    def settle_late(until: float) -> None:
        while late and late[0][0] <= until:
            starts_at, position, each = heapq.heappop(late)
            option = times.first(each)
            assert option is not None
            if option.starts_at > starts_at:
                # Other jobs have overtaken it in the meantime.
                heapq.heappush(late, (option.starts_at, position, each))
            else:
                settle(each, position, option)

    def expect(each: Waiting) -> None:
        option, position = times.first(each), len(waits) + 1
        waits[each.job.job_id] = Wait(position, each.reason, each.detail, None, None)
        if option is None:
            return
        order.charge(each.job.project_id, option.gang.workers * option.gang.seconds)
        if option.waits_for_quota:
            heapq.heappush(late, (option.starts_at, position, each))
        else:
            settle_late(option.starts_at)
            settle(each, position, times.first(each) or option)

    for each in waiting:
        if each.is_aged:
            expect(each)
    for job in order.jobs(each.job for each in waiting if not each.is_aged):
        expect(by_id[job.job_id])
    settle_late(math.inf)
    return waits


@dataclass(frozen=True, slots=True)
class _Option:
    """How a job can start earliest."""

    starts_at: float
    gang: Gang
    places: "_Places"
    waits_for_quota: bool
    """Whether there is room for it earlier than its project's hard quota lets it start."""


class _Times:
    """When pools have room, and hard quotas let projects use it."""

    def __init__(self, snapshot: Snapshot, order: FairOrder, pools: Mapping[str, PoolAllocation]) -> None:
        at = snapshot.at
        self._free = {name: _FreeAt(devices, at) for name, devices in pools.items()}
        ends: dict[str, list[float]] = defaultdict(list)
        for job in snapshot.running:
            ends[job.project_id].extend([expected_end(job, at)] * job.workers)
        for project_id, workers, ends_at in order.began:
            ends[project_id].extend([ends_at] * workers)
        self._quotas = {
            project_id: _Room(at, standing.hard_devices - len(ends[project_id]), ends[project_id])
            for project_id, standing in snapshot.standings.items()
            if standing.hard_devices is not None
        }

    def first(self, each: Waiting) -> _Option | None:
        """None if the job can never start."""
        options = []
        quota = self._quotas.get(each.job.project_id)
        for gang in each.gangs:
            found = self._free[gang.pool].first(gang.fewest)
            allowed_at = -math.inf if quota is None else quota.first(gang.fewest)
            if found is not None and allowed_at is not None:
                room_at, places = found
                starts_at = max(room_at, allowed_at)
                options.append(_Option(starts_at, gang, places, waits_for_quota=starts_at > room_at))
        # Among equals, the first is the cheapest.
        return min(options, key=lambda option: option.starts_at, default=None)

    def take(self, each: Waiting, option: _Option) -> float:
        """When the job ends."""
        gang = option.gang
        ends_at = option.starts_at + gang.seconds * gang.workers / gang.fewest
        self._free[gang.pool].take(option.places, ends_at)
        if (quota := self._quotas.get(each.job.project_id)) is not None:
            quota.take(gang.fewest, ends_at)
        return ends_at


class _Room:
    """When each device may be taken, in ascending order, regardless of the node."""

    def __init__(self, at: float, left: int, ends: Iterable[float]) -> None:
        """`left` devices may be taken now: negative if too many are held. `ends` says when held devices are
        released."""
        # Devices held beyond the limit are not available to others when they are released.
        self._times = [at] * left + sorted(ends)[max(0, -left) :]

    def first(self, workers: int) -> float | None:
        return self._times[workers - 1] if workers <= len(self._times) else None

    def take(self, workers: int, ends_at: float) -> None:
        self._times[:workers] = [ends_at] * workers
        self._times.sort()


_Places = list[tuple[int, int]]
"""Nodes by their index, and the devices on each."""


class _FreeAt:
    """When each device of each node of a pool is free, in order."""

    def __init__(self, devices: PoolAllocation, at: float) -> None:
        self._per_node = devices.pool.devices_per_node
        self._nodes = [[at] * free for free in devices.free]
        for job, places in devices.standing():
            for index, held in places:
                self._nodes[index].extend([expected_end(job, at)] * held)
        for ends_at, index, taken in devices.started:
            self._nodes[index].extend([ends_at] * taken)
        self._room: _Room | None = None
        """None: devices may be taken as soon as they are free."""
        if devices.pool.room is not None:
            ends = [until for job in devices.running for until in [expected_end(job, at)] * job.workers]
            ends.extend(until for until, _, taken in devices.started for until in [until] * taken)
            self._room = _Room(at, devices.room, ends)
        for times in self._nodes:
            times.sort()

    def first(self, workers: int) -> tuple[float, _Places] | None:
        """When and where a gang can start: on one node, or on whole nodes and a part of another for the rest.
        None if it never can."""
        whole, rest = divmod(workers, self._per_node)
        places: _Places = []
        if whole:
            free = sorted(
                (times[self._per_node - 1], index)
                for index, times in enumerate(self._nodes)
                if len(times) >= self._per_node
            )[:whole]
            if len(free) < whole:
                return None
            places = [(index, self._per_node) for _, index in free]
        if rest:
            taken = {index for index, _ in places}
            # Among several nodes, take the one whose next device is free the latest: it is the fullest.
            free_parts = [
                (times[rest - 1], -times[min(rest, len(times) - 1)], index)
                for index, times in enumerate(self._nodes)
                if len(times) >= rest and index not in taken
            ]
            if not free_parts:
                return None
            places.append((min(free_parts)[2], rest))
        starts_at = max(self._nodes[index][count - 1] for index, count in places)
        if self._room is not None:
            allowed_at = self._room.first(workers)
            if allowed_at is None:
                return None
            starts_at = max(starts_at, allowed_at)
        return starts_at, places

    def take(self, places: _Places, ends_at: float) -> None:
        for index, count in places:
            times = self._nodes[index]
            times[:count] = [ends_at] * count
            times.sort()
        if self._room is not None:
            self._room.take(sum(count for _, count in places), ends_at)
