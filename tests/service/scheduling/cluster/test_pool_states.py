"""Pools as they are now: nobody's device is given away twice, and no free one is hidden."""

from typing import Any

import pytest

from cluster.contracts.devices import Pool
from cluster.contracts.jobs import Device
from cluster.contracts.ray_nodes import ClusterReport, RayNode
from service.db.scheduler.pool_views import PoolNode
from service.scheduling.cluster.pool_states import (
    ANY_POOL,
    HeldGang,
    Limits,
    match_nodes,
    pool_nodes,
    pool_states,
    waiting_gangs,
)
from service.scheduling.policy.snapshot import Demand, NodeState, PoolState


def pool(name: str = "gpu", kind: Device = "cuda", **more: Any) -> Pool:
    memory = {"device_bytes": "80GB"} if kind == "cuda" else {"host_bytes": "64GB"}
    return Pool.model_validate({"name": name, "kind": kind, "devices": 8, **memory, **more})


def node(name: str, gpus: float = 8, free: float | None = None, **more: Any) -> RayNode:
    free = gpus if free is None else free
    fields = {"cpus": 64, "free_cpus": 64, "gpus": gpus, "free_gpus": free, **more}
    return RayNode(node_id=name, **fields)


def states(
    nodes: list[RayNode], pools: list[Pool], *gangs: HeldGang, slots: int = 1000, **more: Any
) -> tuple[PoolState, ...]:
    limits = Limits(slots, pools[0].kind if pools else "cuda")
    return pool_states(ClusterReport(nodes=tuple(nodes), worker_cpus=2), pools, gangs, limits, **more)


def free(state: PoolState) -> dict[str, int]:
    return {each.node_id: each.free for each in state.nodes}


def test_a_node_belongs_to_the_pool_that_names_most_of_its_labels() -> None:
    pools = [pool("rest"), pool("h100", accelerator_type="H100")]
    pools.append(pool("spot", accelerator_type="H100", labels={"pool": "spot"}))
    h100 = {"ray.io/accelerator-type": "H100"}
    nodes = [
        node("a", labels=h100),
        node("b", labels=h100 | {"pool": "spot", "zone": "1"}),
        node("c", labels={"ray.io/accelerator-type": "L4"}),
    ]
    matched = match_nodes(nodes, pools)
    assert [(each.name, [one.node_id for one in found]) for each, found in matched] == [
        ("rest", ["c"]),
        ("h100", ["a"]),
        ("spot", ["b"]),
    ]
    assert [each[1] for each in match_nodes([node("d")], pools[1:])] == [[], []]


def test_what_others_hold_is_not_free_and_neither_is_what_ray_does_not_show_yet() -> None:
    nodes = [node("a", free=6), node("b", free=8), node("c", free=0)]
    running = HeldGang("gpu", 2, {"a": 2})
    starting = HeldGang("gpu", 3, {"b": 3}, has_started=False)
    elsewhere = HeldGang("other", 8, {"a": 8}, has_started=False)
    (state,) = states(nodes, [pool()], running, starting, elsewhere)
    assert free(state) == {"a": 6, "b": 5, "c": 0}
    assert [each.devices for each in state.nodes] == [8, 8, 8]

    # A gang of which no node is known yet is taken to be where it fits best.
    unknown = HeldGang("gpu", 4, has_started=False)
    (state,) = states(nodes, [pool()], running, starting, unknown)
    assert free(state) == {"a": 6, "b": 1, "c": 0}


def test_what_serving_holds_is_free_where_it_takes_turns_with_training() -> None:
    report = ClusterReport(nodes=(node("a", gpus=2, free=0),), worker_cpus=2)
    gangs = [HeldGang("gpu", 1, {"a": 1})]
    (state,) = pool_states(report, [pool()], gangs, Limits(8, "cuda", shares_gpus=True))
    assert state.nodes == (NodeState("a", devices=2, free=1, served=1),)
    # What Ray does not show yet is not the models'.
    starting = [HeldGang("gpu", 1, {"a": 1}, has_started=False)]
    report = ClusterReport(nodes=(node("a", gpus=2, free=2),), worker_cpus=2)
    (state,) = pool_states(report, [pool()], starting, Limits(8, "cuda", shares_gpus=True))
    assert state.nodes == (NodeState("a", devices=2, free=1),)


def test_a_worker_needs_its_cpus_too() -> None:
    (state,) = states([node("a", cpus=8, free_cpus=5)], [pool()])
    assert free(state) == {"a": 2}


def test_a_pool_of_cpus_has_no_more_devices_than_its_operator_says() -> None:
    cpus = pool("cpu", "cpu", devices=2)
    nodes = [node("a", gpus=0, cpus=16, free_cpus=14)]
    (state,) = states(nodes, [cpus], HeldGang("cpu", 1, {"a": 1}))
    assert (free(state), state.nodes[0].devices) == ({"a": 1}, 2)
    (state,) = states(nodes, [cpus], HeldGang("cpu", 2, {"a": 2}))
    assert free(state) == {"a": 0}


def test_nodes_that_are_about_to_go_or_on_which_attempts_fail_are_left_out() -> None:
    nodes = [node("a"), node("b", is_draining=True), node("c")]
    (state,) = states(nodes, [pool(nodes=4, min_nodes=0)], faults={"c": 2})
    assert free(state) == {"a": 8}
    # The avoided node still stands; the draining one will be replaced.
    assert state.may_grow_nodes == 2
    (fixed,) = states(nodes, [pool(nodes=4)])
    assert fixed.may_grow_nodes == 0


def test_nodes_on_which_attempts_of_one_job_failed_come_last() -> None:
    (state,) = states([node("a"), node("b")], [pool()], faults={"a": 1})
    assert [(each.node_id, each.faults) for each in state.nodes] == [("b", 0), ("a", 1)]


def test_at_most_half_of_a_pool_is_avoided() -> None:
    nodes = [node("a"), node("b"), node("c")]
    (state,) = states(nodes, [pool()], faults={"a": 2, "b": 5, "c": 3, "gone": 9})
    assert free(state) == {"a": 8, "c": 8}
    (state,) = states(nodes[:1], [pool()], faults={"a": 9})
    assert free(state) == {"a": 8}


@pytest.mark.parametrize(("held", "left"), [(0, 10), (9, 1), (12, 0)])
def test_without_pools_no_more_processes_run_than_there_are_slots(held: int, left: int) -> None:
    gangs = [HeldGang(None, held)] if held else []
    (found,) = states([node("a"), node("b")], [], *gangs, slots=10)
    assert found.total_free == left


def test_slots_do_not_bound_pools() -> None:
    nodes = [node("a", labels={"pool": "one"}), node("b", labels={"pool": "two"})]
    pools = [pool("one", labels={"pool": "one"}), pool("two", labels={"pool": "two"})]
    assert [free(state) for state in states(nodes, pools, slots=1)] == [{"a": 8}, {"b": 8}]


def test_without_pools_all_nodes_with_such_devices_are_one() -> None:
    nodes = [node("a", gpus=4), node("b", gpus=0)]
    (state,) = states(nodes, [], HeldGang(None, 1, has_started=False), slots=3)
    assert (state.name, state.devices_per_node, free(state)) == (ANY_POOL, 3, {"a": 2})
    assert states([], [])[0].nodes == ()


def test_the_autoscaler_is_asked_for_whole_gangs() -> None:
    pools = [pool("gpu", nodes=4, labels={"pool": "gpu"})]
    (gang,) = waiting_gangs([Demand("ftjob-1", "gpu", 20), Demand("ftjob-2", "gone", 1)], pools)
    assert (gang.name, gang.parts, gang.labels) == ("ftjob-1", [8, 8, 4], {"pool": "gpu"})


def test_a_limited_pool_shows_no_more_devices_than_jobs_may_hold() -> None:
    nodes, pools = (
        [node("a", free=4), node("b")],
        [pool(nodes=4, min_nodes=0), pool("other", labels={"x": "y"})],
    )
    held = HeldGang("gpu", 4, {"a": 4})
    (state, _) = states(nodes, pools, held, at_most={"gpu": 6, "absent": 0})
    assert free(state) == {"a": 4, "b": 8}, "jobs choose where"
    assert (state.total_free, state.room, state.limit) == (2, 2, 6)
    (state, _) = states(nodes, pools, held, at_most={"gpu": 25})
    assert (state.total_free, state.room) == (12, 21)
    (state, _) = states(nodes, pools, held, at_most={"gpu": 2})
    assert (state.total_free, state.room) == (0, -2)


def test_the_only_pool_of_an_installation_that_names_none_can_be_limited() -> None:
    (state,) = states([node("a")], [], HeldGang(None, 1, {"a": 1}), slots=4, at_most={ANY_POOL: 3})
    assert (state.total_free, state.limit) == (2, 3)


def test_nodes_that_no_job_starts_on_are_shown_with_the_reason() -> None:
    pools = [pool("h100", accelerator_type="H100"), pool("rest")]
    h100 = {"ray.io/accelerator-type": "H100"}
    nodes = [
        node("a", labels=h100, free=5),
        node("b", labels=h100),
        node("c", labels=h100, is_draining=True),
        node("d", free=0, is_draining=True),
        node("cpus", gpus=0),
    ]
    report = ClusterReport(nodes=tuple(nodes), worker_cpus=2)
    faults = {"a": 1, "b": 3}
    seen = pool_nodes(report, pools, [HeldGang("h100", 2, {"a": 2}, False)], Limits(8, "cuda"), faults=faults)
    assert seen == {
        "h100": (
            PoolNode("a", "standing", 8, 3),
            PoolNode("b", "avoided", 8, 0, "Attempts of 3 jobs in a row have failed on it."),
            PoolNode("c", "draining", 8, 0, "It is about to be taken away."),
        ),
        "rest": (PoolNode("d", "draining", 8, 0, "It is about to be taken away."),),
    }
    unnamed = pool_nodes(report, [], [], Limits(8, "cuda"))
    assert [(each.node_id, each.state) for each in unnamed[ANY_POOL]] == [
        ("a", "standing"),
        ("b", "standing"),
        ("c", "draining"),
        ("d", "draining"),
    ]
