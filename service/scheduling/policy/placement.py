"""Where gangs stand: the devices of one pool, while a decision is made."""

import math
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from service.scheduling.policy.fair_order import expected_end
from service.scheduling.policy.snapshot import PoolState, RunningJob

Places = list[tuple[int, int]]
"""Nodes, by their index in the pool, and the devices on each."""
ADDING_SECONDS = 300.0
"""Taken for the time that the autoscaler needs to add a node."""
STALLED_SECONDS = 1200.0
"""If no node joins a pool for so long, although jobs wait for one, nothing is kept for when it comes."""


class PoolAllocation:
    """What a decision has given out of a pool's devices, and keeps for jobs to come.

    A gang that fits into one node stands on one node; a larger one takes whole nodes, and for the rest a part
    of one. The fullest node that has room is taken, so whole nodes stay free, and nodes with faults last.
    """

    def __init__(self, pool: PoolState, running: Sequence[RunningJob], at: float) -> None:
        self.pool = pool
        self.free = [node.free for node in pool.nodes]
        addable = [pool.devices_per_node] * pool.may_grow_nodes
        self.new = [] if pool.is_growth_stalled else addable
        """Devices of each node that could be added, and that are for no other gang. Such nodes have the
        indexes after those of the pool."""
        self._overdue = addable if pool.is_growth_stalled else []
        """The same of nodes that are asked for, and not expected."""
        self._served = [node.served for node in pool.nodes]
        self._are_served = any(self._served)
        self._faulty = frozenset(index for index, node in enumerate(pool.nodes) if node.faults)
        self.total_free = pool.total_free
        """Devices that jobs may take."""
        self.room = sys.maxsize if pool.room is None else pool.room
        """As many as they may take if nodes have them free."""
        self.most = self.room + sum(job.workers for job in running)
        """Devices that jobs may hold."""
        self.running = running
        self._at = at
        self._per_node = pool.devices_per_node
        self.too_large = self.total_free + 1
        """A gang of so many workers has no room, nor has a larger one: devices are only taken."""
        self._refused: list[tuple[int, float]] = []
        """Workers and seconds of gangs for which too much is kept: so it is for those that are as large and
        take as long."""
        self._not_grown: list[tuple[int, float]] = []
        """The same of gangs for which no nodes can be added."""
        self.started: list[tuple[float, int, int]] = []
        """When each gang that was placed ends, a node of it by its index, and the devices on it."""
        self._kept: dict[int, _Kept] = {}
        self._room_soon = sum(job.workers for job in running if job.is_leaving)
        """Room that comes from jobs that are leaving, but for what is kept for those that they leave for."""
        self._promised: list[tuple[float, int, int]] = []
        """The same as `started`, of gangs that start once others have left."""
        self._head: int | None = None
        self._head_room: _Kept | None = None
        """The room that is kept for the head, where it is bounded."""
        self.has_head = False
        """Whether devices are kept for a gang that waits for others to end."""
        self._standing: list[tuple[RunningJob, Places]] | None = None

    def node_ids(self, places: Places) -> dict[str, int]:
        return {self.pool.nodes[index].node_id: devices for index, devices in places}

    @property
    def growth(self) -> int:
        """Devices that could still be added."""
        return max(0, min(sum(self.new), self.room)) if self.new else 0

    def can_hold(self, workers: int) -> bool:
        """Whether the gang could stand if all nodes were free, and those that could be added were there."""
        devices = [*(node.devices for node in self.pool.nodes), *self.new]
        return workers <= self.most and fit(devices, workers, self._per_node) is not None

    def refuses(self, workers: int, seconds: float) -> bool:
        """Whether the gang is known to have no room, as no smaller and shorter one had any."""
        if workers > self.total_free or workers >= self.too_large:
            return True
        if self._head is not None:
            return False
        return _is_among(self._refused, workers, seconds)

    def place(self, workers: int, seconds: float, failed_on: Collection[str] = ()) -> Places | None:
        """Where the gang can start now without delaying those that devices are kept for: on nodes other than
        those where it has failed, if there is room."""
        if self.refuses(workers, seconds):
            return None
        worst = frozenset(self._indexes(failed_on)) if failed_on else frozenset()
        places = self.fit(workers, worst)
        if places is None:
            return None
        self._settle_head()
        if not self._kept:
            return places
        ends_at = self._at + seconds
        if workers > self._spare_room(ends_at):
            self._refused.append((workers, seconds))
            return None
        usable = list(self.free)
        for index in self._kept:
            if index < len(usable):
                usable[index] = self._spare(index, usable[index], ends_at)
        # Nodes that are kept are the last choice.
        unkept = [0 if index in self._kept else free for index, free in enumerate(usable)]
        places = self._fit(unkept, workers, worst) or self._fit(usable, workers, worst)
        if places is None:
            self._refused.append((workers, seconds))
        return places

    def fit(self, workers: int, worst: frozenset[int] = frozenset()) -> Places | None:
        """Where there is room now, kept or not."""
        if workers >= self.too_large or workers > self.total_free:
            return None
        places = self._fit(self.free, workers, worst)
        if places is None:
            self.too_large = workers
        return places

    def _fit(self, free: Sequence[int], workers: int, worst: frozenset[int]) -> Places | None:
        """On none of the worst nodes, on none with faults, and where models hold none of the devices, as far
        as there is such a place."""
        choices = [free]
        if self._are_served:
            choices.insert(0, [max(0, each - held) for each, held in zip(free, self._served, strict=True)])
        for shunned in (worst | self._faulty, worst) if worst or self._faulty else ():
            for devices in choices:
                left = [0 if index in shunned else each for index, each in enumerate(devices)]
                if (places := fit(left, workers, self._per_node)) is not None:
                    return places
        found = (fit(devices, workers, self._per_node) for devices in choices)
        return next((places for places in found if places is not None), None)

    def _indexes(self, node_ids: Collection[str]) -> Iterator[int]:
        return (index for index, node in enumerate(self.pool.nodes) if node.node_id in node_ids)

    def take(self, places: Places, seconds: float) -> None:
        ends_at = self._at + seconds
        workers = sum(devices for _, devices in places)
        self._take_room(workers)
        self._charge_head_room(workers, ends_at)
        for index, devices in places:
            self.free[index] -= devices
            self.started.append((ends_at, index, devices))
            self._charge(index, devices, ends_at)

    def move(self, old: Places, new: Places) -> None:
        """A running gang stands elsewhere."""
        for places, sign in ((old, 1), (new, -1)):
            for index, devices in places:
                self.free[index] += sign * devices
                self._take_room(-sign * devices)

    def _take_room(self, devices: int) -> None:
        self.total_free -= devices
        if self.pool.room is not None:
            self.room -= devices

    def _spare_room(self, ends_at: float) -> int:
        """The room that neither the promised gangs nor the head need, for a gang that ends then."""
        spare = self.room + self._room_soon
        if self._head_room is not None and self._head_room.until < ends_at:
            spare = min(spare, self._head_room.spare)
        return spare

    def _spare(self, index: int, free: int, ends_at: float) -> int:
        """The node's free devices that a gang may take which ends then."""
        kept = self._kept.get(index)
        return free if kept is None or kept.until >= ends_at else min(free, kept.spare)

    def _charge(self, index: int, devices: int, ends_at: float) -> None:
        kept = self._kept.get(index)
        if kept is not None and kept.until < ends_at:
            kept.spare -= devices

    def _charge_head_room(self, workers: int, ends_at: float) -> None:
        if self._head_room is not None and self._head_room.until < ends_at:
            self._head_room.spare -= workers

    def reserve_for(self, workers: int) -> None:
        """Keeps the devices on which a gang can start first. Which ones is found out when another gang
        wants some."""
        self._head, self.has_head = workers, True

    def may_grow_for(self, workers: int, seconds: float) -> bool:
        """Whether nodes could be added for the gang, by a quick check."""
        return bool(self.new) and self.growth > 0 and not _is_among(self._not_grown, workers, seconds)

    def grow_for(self, workers: int, seconds: float) -> bool:
        """Keeps devices for a gang for which nodes are added, if there are enough: of those that could be
        added, and beside them of those that stand and will be free until then."""
        if not self.may_grow_for(workers, seconds):
            return False
        self._settle_head()
        starts_at = self._at + ADDING_SECONDS
        ends_at = starts_at + seconds
        places = None
        if workers <= self._spare_room(ends_at):
            first = len(self.free)
            new = [self._spare(first + place, devices, ends_at) for place, devices in enumerate(self.new)]
            places = fit([0] * first + new, workers, self._per_node) or self._beside_new(new, workers)
        if places is None:
            self._not_grown.append((workers, seconds))
            return False
        self._promise(places, starts_at, ends_at)
        return True

    def _beside_new(self, new: Sequence[int], workers: int) -> Places | None:
        """Places on nodes that stand and on some that could be added."""
        soon = self.free_soon(within=ADDING_SECONDS)[: len(self.free)]
        standing = [0 if index in self._kept else devices for index, devices in enumerate(soon)]
        places = fit([*standing, *new], workers, self._per_node)
        return None if places is None or all(index < len(standing) for index, _ in places) else places

    @property
    def may_ask(self) -> bool:
        """Whether there are nodes to ask for that are not expected."""
        return any(self._overdue)

    def ask_for(self, workers: int) -> bool:
        """Takes the gang into account for nodes that are asked for, but not expected: it keeps none of those
        that stand. Returns whether it needs such nodes, and could stand with them."""
        if not self.may_ask or workers > self._spare_room(math.inf):
            return False
        standing = self.free_soon(within=ADDING_SECONDS)
        places = fit([*standing, *self._overdue], workers, self._per_node)
        missing = [(index - len(standing), devices) for index, devices in places or ()]
        missing = [(place, devices) for place, devices in missing if place >= 0]
        for place, devices in missing:
            self._overdue[place] -= devices
        return bool(missing)

    def missing_room(self, workers: int) -> int:
        """How many more devices running jobs must give up before such a gang may start, wherever they are."""
        return max(0, workers - self.room - self._room_soon)

    def reserve_preempted(self, places: Places, seconds: float, freed: int) -> None:
        """Keeps devices for a gang that starts there once the jobs that now give up `freed` devices have left
        them."""
        self._room_soon += freed
        self._promise(places, self._at, self._at + seconds)

    def _promise(self, places: Places, starts_at: float, ends_at: float) -> None:
        soon, first = self.free_soon(within=starts_at - self._at), len(self.free)
        for index, devices in places:
            if index >= first:
                self.new[index - first] -= devices
                self._charge(index, devices, ends_at)
            else:
                self._kept[index] = _Kept(starts_at, max(0, soon[index] - devices))
            self._promised.append((ends_at, index, devices))
        workers = sum(devices for _, devices in places)
        self._room_soon -= workers
        self._charge_head_room(workers, ends_at)

    def is_kept(self, index: int) -> bool:
        return index in self._kept

    def free_soon(self, within: float = 0.0) -> list[int]:
        """Devices of each node, also of those that could be added, that are free, or held by jobs that are
        leaving or end within so many seconds."""
        soon, until = [*self.free, *self.new], self._at + within
        for job, places in self.standing():
            if job.is_leaving or expected_end(job, self._at) < until:
                for index, devices in places:
                    soon[index] += devices
        return soon

    def standing(self) -> list[tuple[RunningJob, Places]]:
        """The running jobs with their places. Those of which no places are known are taken to be where no
        other job explains that devices are held."""
        if self._standing is None:
            self._standing = list(self._places())
        return self._standing

    def _places(self) -> Iterator[tuple[RunningJob, Places]]:
        index_of = {node.node_id: index for index, node in enumerate(self.pool.nodes)}
        unknown = []
        unexplained = [node.devices - node.free for node in self.pool.nodes]
        for job in self.running:
            if not job.nodes:
                unknown.append(job)
                continue
            places = [(index_of[node], held) for node, held in job.nodes.items() if node in index_of]
            for index, held in places:
                unexplained[index] -= held
            yield job, places
        for job in unknown:
            places = fit(unexplained, job.workers, self._per_node) or []
            for index, held in places:
                unexplained[index] -= held
            yield job, places

    def _settle_head(self) -> None:
        if self._head is not None:
            self._reserve_for_head(self._head)
            self._head = None

    def _reserve_for_head(self, workers: int) -> None:
        """Lets the running jobs end one after the other, and new nodes join, until the gang fits."""
        first = len(self.free)
        free = [0 if index in self._kept else now for index, now in enumerate(self.free)]
        free += [0] * len(self.new)
        releases = [
            (expected_end(job, self._at), index, held)
            for job, places in self.standing()
            for index, held in places
        ]
        releases.extend(self.started)
        releases.extend(self._promised)
        new_at = self._at + ADDING_SECONDS
        releases.extend((new_at, first + place, devices) for place, devices in enumerate(self.new))
        releases.sort()
        large, rest = workers >= self._per_node, workers % self._per_node
        needed, whole = workers // self._per_node, sum(each >= self._per_node for each in free)
        room = self.room - sum(devices for _, _, devices in self._promised)
        # Where there are devices, but no room for so many.
        found = fit(free, workers, self._per_node) if room < workers else None
        for until, index, held in releases:
            room += held
            if found is None and index not in self._kept:
                free[index] += held
                if large:
                    whole += free[index] >= self._per_node > free[index] - held
                    found = fit(free, workers, self._per_node) if whole >= needed else None
                elif free[index] >= rest:
                    found = [(index, rest)]
            if found is not None and room >= workers:
                for place, devices in found:
                    self._kept[place] = _Kept(until, free[place] - devices)
                if self.pool.room is not None:
                    self._head_room = _Kept(until, room - workers)
                return


def fit(free: Sequence[int], workers: int, per_node: int) -> Places | None:
    """Where a gang has room, if so many devices of each node are free."""
    places: Places = []
    whole, rest = divmod(workers, per_node)
    if whole:
        places = [(index, per_node) for index, each in enumerate(free) if each >= per_node][:whole]
        if len(places) < whole:
            return None
    if rest:
        taken = {index for index, _ in places}
        room = [(each, index) for index, each in enumerate(free) if each >= rest and index not in taken]
        if not room:
            return None
        places.append((min(room)[1], rest))
    return places


def _is_among(refused: Sequence[tuple[int, float]], workers: int, seconds: float) -> bool:
    """Whether a gang that is no larger and takes no longer was refused."""
    return any(workers >= least and seconds >= shortest for least, shortest in refused)


@dataclass(slots=True)
class _Kept:
    """A node, or room, that is kept for a job."""

    until: float
    """When the job is expected to start there. Others may take devices that they give back before."""
    spare: int
    """Devices of the node that the job will leave free then."""
