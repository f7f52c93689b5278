"""Places gangs on the devices of one pool, while a decision is made."""

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
    """The devices of a pool that a decision has allocated, or keeps for later jobs.

    A gang that fits on one node runs on one node; a larger one takes whole nodes, plus a part of another for
    the rest. The fullest node that has room is taken, so that whole nodes stay free; nodes with faults come
    last.
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
        """Devices that jobs may take, if nodes have that many free."""
        self.most = self.room + sum(job.workers for job in running)
        """Devices that jobs may hold."""
        self.running = running
        self._at = at
        self._per_node = pool.devices_per_node
        self.too_large = self.total_free + 1
        """A gang of this many workers or more has no room. Valid for the whole decision, because devices are
        only taken."""
        self._refused: list[tuple[int, float]] = []
        """Workers and seconds of gangs that were refused because too much is kept. The same then holds for
        every gang that is as large and takes as long."""
        self._not_grown: list[tuple[int, float]] = []
        """The same for gangs for which no nodes can be added."""
        self.started: list[tuple[float, int, int]] = []
        """One entry per placed gang and node: when the gang ends, the node's index, and the devices on it."""
        self._kept: dict[int, _Kept] = {}
        self._room_soon = sum(job.workers for job in running if job.is_leaving)
        """Room that leaving jobs release, except what is kept for the jobs that they make room for."""
        self._promised: list[tuple[float, int, int]] = []
        """The same as `started`, for gangs that start once others have left."""
        self._head: int | None = None
        self._head_room: _Kept | None = None
        """The room that is kept for the head, if room is limited."""
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
        """Whether the gang would fit if all nodes were free and all nodes that could be added existed."""
        devices = [*(node.devices for node in self.pool.nodes), *self.new]
        return workers <= self.most and fit(devices, workers, self._per_node) is not None

    def refuses(self, workers: int, seconds: float) -> bool:
        """Whether the gang is known to have no room: a gang at most as large and as long had none."""
        if workers > self.total_free or workers >= self.too_large:
            return True
        if self._head is not None:
            return False
        return _is_among(self._refused, workers, seconds)

    def place(self, workers: int, seconds: float, failed_on: Collection[str] = ()) -> Places | None:
        """Where the gang can start now without delaying gangs for which devices are kept. Avoids nodes on
        which it has failed, if there is room elsewhere."""
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
        # Nodes that are kept for other gangs are the last choice.
        unkept = [0 if index in self._kept else free for index, free in enumerate(usable)]
        places = self._fit(unkept, workers, worst) or self._fit(usable, workers, worst)
        if places is None:
            self._refused.append((workers, seconds))
        return places

    def fit(self, workers: int, worst: frozenset[int] = frozenset()) -> Places | None:
        """Where there is room now, whether kept or not."""
        if workers >= self.too_large or workers > self.total_free:
            return None
        places = self._fit(self.free, workers, worst)
        if places is None:
            self.too_large = workers
        return places

    def _fit(self, free: Sequence[int], workers: int, worst: frozenset[int]) -> Places | None:
        """Avoids, as far as possible, the worst nodes, nodes with faults, and devices that models hold."""
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
        """Moves a running gang to other places."""
        for places, sign in ((old, 1), (new, -1)):
            for index, devices in places:
                self.free[index] += sign * devices
                self._take_room(-sign * devices)

    def _take_room(self, devices: int) -> None:
        self.total_free -= devices
        if self.pool.room is not None:
            self.room -= devices

    def _spare_room(self, ends_at: float) -> int:
        """The room that neither the promised gangs nor the head need, for a gang that ends at `ends_at`."""
        spare = self.room + self._room_soon
        if self._head_room is not None and self._head_room.until < ends_at:
            spare = min(spare, self._head_room.spare)
        return spare

    def _spare(self, index: int, free: int, ends_at: float) -> int:
        """The node's free devices that a gang may take if it ends at `ends_at`."""
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
        """Keeps the devices on which a gang can start earliest. They are determined only when another gang
        wants devices."""
        self._head, self.has_head = workers, True

    def may_grow_for(self, workers: int, seconds: float) -> bool:
        """Whether nodes could be added for the gang, by a quick check."""
        return bool(self.new) and self.growth > 0 and not _is_among(self._not_grown, workers, seconds)

    def grow_for(self, workers: int, seconds: float) -> bool:
        """Keeps devices for a gang for which nodes are added, if there are enough: devices of nodes that
        could be added, and devices of existing nodes that will be free by then."""
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
        """Places on existing nodes and on some that could be added."""
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
        """Keeps devices for a gang that starts at `places` once the jobs that are giving up `freed` devices
        have left them."""
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
        """Devices of each node, including nodes that could be added, that are free, or are held by jobs that
        are leaving or end within this many seconds."""
        soon, until = [*self.free, *self.new], self._at + within
        for job, places in self.standing():
            if job.is_leaving or expected_end(job, self._at) < until:
                for index, devices in places:
                    soon[index] += devices
        return soon

    def standing(self) -> list[tuple[RunningJob, Places]]:
        """The running jobs with their places. A job with unknown places is assumed to be on devices that are
        held and that no other job accounts for."""
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
        """Simulates running jobs ending one after the other, and new nodes joining, until the gang fits."""
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
        # There may be devices, but no room for this many.
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
    """Where a gang fits, given the free devices of each node."""
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
    """When the job is expected to start there. Others may take devices that they return before then."""
    spare: int
    """Devices of the node that the job will then leave free."""
