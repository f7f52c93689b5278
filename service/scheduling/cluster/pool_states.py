"""The current state of the operator's pools, from Ray's nodes and from the gangs that we have started."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cluster.contracts.devices import Pool
from cluster.contracts.jobs import Device
from cluster.contracts.ray_nodes import ClusterReport, RayNode, WaitingGang
from service.db.scheduler.node_faults import keeps_failing
from service.db.scheduler.pool_views import PoolNode
from service.scheduling.policy.snapshot import Demand, NodeState, PoolState

ANY_POOL = "training"
"""The only pool of an installation that names none."""
_DRAINING = "It is about to be taken away."


@dataclass(frozen=True, slots=True)
class HeldGang:
    """A gang of ours for which Ray may hold devices."""

    pool: str | None
    """None for an attempt of a release without pools."""
    workers: int
    nodes: Mapping[str, int] = field(default_factory=dict)
    """Workers by node, where they run or will run. Empty if that is not known."""
    has_started: bool = True
    """Whether the gang has reported that its devices are reserved, so that Ray's figures include them. They
    already do for about a second before the report; during that second, its devices count twice."""


@dataclass(frozen=True, slots=True)
class Limits:
    slots: int
    """TUNERY_TRAINING_SLOTS: the most training processes if no pools are named."""
    device: Device
    """TUNERY_TRAINING_DEVICE."""
    shares_gpus: bool = False
    """Whether serving gives up its GPUs when jobs need them. If so, the GPUs that it holds count as free."""


def pool_states(
    report: ClusterReport,
    pools: Sequence[Pool],
    gangs: Sequence[HeldGang],
    limits: Limits,
    *,
    faults: Mapping[str, int] = {},
    at_most: Mapping[str, int] = {},
) -> tuple[PoolState, ...]:
    """Returns one state for each pool, in their order, or one named ANY_POOL if there are no pools. Draining
    nodes are left out. `faults` says, by node id, of how many jobs attempts have failed on the node: nodes
    with faults come last, and nodes on which attempts keep failing are left out. No more than half of a
    pool's nodes are left out for faults: if most of them fail, something else is wrong. `at_most` is the
    number of devices that jobs may hold in each limited pool.

    Devices that anything in the cluster has reserved are not free, and neither are devices of gangs that we
    have started but Ray does not show yet. A worker needs its CPUs beside its GPU. A CPU pool has no more
    devices than its operator says, however many CPUs its nodes have."""
    states = _states(report, pools, gangs, limits, faults)
    held = Counter[str]()
    for gang in gangs:
        held[gang.pool if pools and gang.pool else ANY_POOL] += gang.workers
    usable_states = [_with_faults(_without(state, _avoided(state, faults)), faults) for state in states]
    return tuple(_limited(state, at_most.get(state.name), held[state.name]) for state in usable_states)


def pool_nodes(
    report: ClusterReport,
    pools: Sequence[Pool],
    gangs: Sequence[HeldGang],
    limits: Limits,
    *,
    faults: Mapping[str, int] = {},
) -> dict[str, tuple[PoolNode, ...]]:
    """Returns the nodes of each pool, including those that `pool_states` leaves out, with the reason."""
    found: dict[str, list[PoolNode]] = {}
    for state in _states(report, pools, gangs, limits, faults):
        avoided = _avoided(state, faults)
        found[state.name] = [
            PoolNode(node.node_id, "avoided", node.devices, 0, _why_avoided(faults[node.node_id]))
            if node.node_id in avoided
            else PoolNode(node.node_id, "standing", node.devices, node.free)
            for node in state.nodes
        ]
    going = [node for node in report.nodes if node.is_draining]
    kinds = [(pool.name, pool.kind, pool.devices, nodes) for pool, nodes in match_nodes(going, pools)]
    for name, kind, most, nodes in kinds if pools else [(ANY_POOL, limits.device, limits.slots, going)]:
        rooms = (_room(node, kind, report.worker_cpus, most) for node in nodes)
        found[name] += [
            PoolNode(room.node_id, "draining", room.devices, 0, _DRAINING) for room in rooms if room.devices
        ]
    return {name: tuple(nodes) for name, nodes in found.items()}


def _states(
    report: ClusterReport,
    pools: Sequence[Pool],
    gangs: Sequence[HeldGang],
    limits: Limits,
    faults: Mapping[str, int],
) -> list[PoolState]:
    """Includes nodes on which attempts keep failing, and ignores the operator's limits on pools."""
    usable = [node for node in report.nodes if not node.is_draining]
    # A gang that takes whole nodes takes the first ones.
    usable.sort(key=lambda node: faults.get(node.node_id, 0))
    matched = match_nodes(usable, pools)
    worker_cpus, shares = report.worker_cpus, limits.shares_gpus
    states = [
        PoolState(
            pool.name,
            pool.devices,
            _nodes(
                [_room(node, pool.kind, worker_cpus, pool.devices) for node in nodes],
                [gang for gang in gangs if gang.pool == pool.name],
                are_shared=shares and pool.kind == "cuda",
            ),
            may_grow_nodes=0 if pool.min_nodes is None else max(0, pool.nodes - len(nodes)),
        )
        for pool, nodes in matched
    ]
    if not pools:
        rooms = [_room(node, limits.device, worker_cpus, limits.slots) for node in usable]
        per_node = max((room.devices for room in rooms), default=1)
        found = _nodes(rooms, gangs, are_shared=shares and limits.device == "cuda")
        states = [PoolState(ANY_POOL, per_node, found)]
        left = limits.slots - sum(gang.workers for gang in gangs)
        states = [states[0].with_room(left)]
    return states


def _limited(state: PoolState, limit: int | None, held: int) -> PoolState:
    return state if limit is None else replace(state.with_room(limit - held), limit=limit)


def match_nodes(nodes: Sequence[RayNode], pools: Sequence[Pool]) -> list[tuple[Pool, list[RayNode]]]:
    """Assigns each node to the pool that names most of its labels."""
    matched: list[tuple[Pool, list[RayNode]]] = [(pool, []) for pool in pools]
    for node in nodes:
        fitting = [(pool, found) for pool, found in matched if pool.selector.items() <= node.labels.items()]
        if fitting:
            max(fitting, key=lambda each: len(each[0].selector))[1].append(node)
    return matched


def waiting_gangs(demand: Sequence[Demand], pools: Sequence[Pool]) -> tuple[WaitingGang, ...]:
    """The gangs for which the autoscaler is asked to add nodes."""
    named = {pool.name: pool for pool in pools}
    return tuple(
        WaitingGang(
            name=one.job_id,
            device=named[one.pool].kind,
            workers=one.workers,
            workers_per_node=named[one.pool].devices,
            labels=named[one.pool].selector,
        )
        for one in demand
        if one.pool in named
    )


@dataclass(slots=True)
class _Room:
    node_id: str
    devices: int
    free: int
    most_free: int
    """Free devices if models held none."""


def _room(node: RayNode, kind: Device, worker_cpus: int, most: int) -> _Room:
    cpus, free_cpus = int(node.cpus // worker_cpus), int(node.free_cpus // worker_cpus)
    if kind == "cpu":
        free = min(most, free_cpus)
        return _Room(node.node_id, min(most, cpus), free, free)
    devices = min(most, int(node.gpus))
    most_free = min(devices, free_cpus)
    return _Room(node.node_id, devices, min(most_free, int(node.free_gpus)), most_free)


def _nodes(rooms: list[_Room], gangs: Sequence[HeldGang], *, are_shared: bool) -> tuple[NodeState, ...]:
    """`are_shared`: devices that models hold count as free."""
    idle = _beside([replace(room) for room in rooms], gangs)
    if not are_shared:
        return idle
    free = _beside([replace(room, free=room.most_free) for room in rooms], gangs)
    return tuple(
        replace(node, served=max(0, node.free - seen.free)) for node, seen in zip(free, idle, strict=True)
    )


def _beside(rooms: list[_Room], gangs: Sequence[HeldGang]) -> tuple[NodeState, ...]:
    by_id = {room.node_id: room for room in rooms}
    held = dict.fromkeys(by_id, 0)
    for gang in gangs:
        for node_id, workers in gang.nodes.items():
            if node_id in by_id:
                held[node_id] += workers
                if not gang.has_started:
                    by_id[node_id].free -= workers
    for room in rooms:
        room.free = max(0, min(room.free, room.devices - held[room.node_id]))
    for gang in gangs:
        if not gang.nodes and not gang.has_started:
            _take(rooms, gang.workers)
    return tuple(NodeState(room.node_id, room.devices, room.free) for room in rooms if room.devices)


def _take(rooms: Sequence[_Room], workers: int) -> None:
    """Takes devices where the gang will probably run: on the fullest node that has room for it, otherwise on
    the emptiest nodes."""
    fitting = [room for room in rooms if room.free >= workers]
    order = sorted(fitting, key=lambda room: room.free) or sorted(rooms, key=lambda room: -room.free)
    for room in order:
        taken = min(room.free, workers)
        room.free -= taken
        workers -= taken


def _avoided(state: PoolState, faults: Mapping[str, int]) -> set[str]:
    named = [node.node_id for node in state.nodes if keeps_failing(faults.get(node.node_id, 0))]
    return set(sorted(named, key=lambda node_id: -faults[node_id])[: len(state.nodes) // 2])


def _why_avoided(faults: int) -> str:
    return f"Attempts of {faults} jobs in a row have failed on it."


def _with_faults(state: PoolState, faults: Mapping[str, int]) -> PoolState:
    nodes = (replace(node, faults=faults.get(node.node_id, 0)) for node in state.nodes)
    return replace(state, nodes=tuple(nodes)) if faults else state


def _without(state: PoolState, avoided: Collection[str]) -> PoolState:
    if not avoided:
        return state
    nodes = tuple(node for node in state.nodes if node.node_id not in avoided)
    return replace(state, nodes=nodes)
