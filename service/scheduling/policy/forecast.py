"""When waiting jobs are expected to start and to end."""

from collections.abc import Mapping, Sequence
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
    """Expected waits by job id. Jobs start one after the other in the order of the policy, as if nobody sent
    more. Charges what is expected to `order`."""
    free_at = {name: _FreeAt(devices, snapshot.at) for name, devices in pools.items()}
    by_id = {each.job.job_id: each for each in waiting}
    waits: dict[str, Wait] = {}

    def expect(each: Waiting) -> None:
        starts_at = ends_at = None
        options = [
            (found[0], place, found[1], gang)
            for place, gang in enumerate(each.gangs)
            if (found := free_at[gang.pool].first(gang.fewest)) is not None
        ]
        if options:
            starts_at, _, places, gang = min(options, key=lambda option: option[:2])
            ends_at = starts_at + gang.seconds * gang.workers / gang.fewest
            free_at[gang.pool].take(places, ends_at)
            order.charge(each.job.project_id, gang.workers * gang.seconds)
            ends_at = None if gang.is_guess else ends_at
        waits[each.job.job_id] = Wait(len(waits) + 1, each.reason, each.detail, starts_at, ends_at)

    for each in waiting:
        if each.is_aged:
            expect(each)
    for job in order.jobs(each.job for each in waiting if not each.is_aged):
        expect(by_id[job.job_id])
    return waits


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
        self._room: list[float] | None = None
        """When each device may be taken, wherever it is. None: when it is free."""
        if devices.pool.room is not None:
            ends = [until for job in devices.running for until in [expected_end(job, at)] * job.workers]
            ends.extend(until for until, _, taken in devices.started for until in [until] * taken)
            # What jobs hold too much is not for others when they give it back.
            self._room = [at] * devices.room + sorted(ends)[max(0, -devices.room) :]
        for times in self._nodes:
            times.sort()

    def first(self, workers: int) -> tuple[float, _Places] | None:
        """When a gang can start, and where: on one node, or on whole ones and a part of one for the rest.
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
            # Of several nodes, the one whose next device is free the latest: it is the fullest.
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
            if len(self._room) < workers:
                return None
            starts_at = max(starts_at, self._room[workers - 1])
        return starts_at, places

    def take(self, places: _Places, ends_at: float) -> None:
        for index, count in places:
            times = self._nodes[index]
            times[:count] = [ends_at] * count
            times.sort()
        if self._room is not None:
            taken = sum(count for _, count in places)
            self._room[:taken] = [ends_at] * taken
            self._room.sort()
