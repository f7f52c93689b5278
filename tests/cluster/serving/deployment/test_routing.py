"""Which replica gets a request."""

from collections import Counter

import pytest

from cluster.contracts.generation import ModelRef, adapted_name, weights_of
from cluster.contracts.weights import WeightsRef
from cluster.serving.deployment.routing import Replica, rank_replicas
from tests.api import BASE

A = adapted_name("base", "a")


def replica(id_: str, ongoing: int, *models: str) -> Replica:
    return Replica(id_, frozenset(models), ongoing)


@pytest.mark.parametrize(
    ("replicas", "best"),
    [
        ([replica("x", 0, "base"), replica("y", 0, "base", A), replica("z", 0)], "y"),
        ([replica("x", 0), replica("y", 0), replica("z", 0, "base")], "z"),
        ([replica("x", 0, "other"), replica("y", 20, "base"), replica("z", 0, "other")], "y"),
        ([replica("x", 0, "base"), replica("y", 16, "base", A)], "y"),
        ([replica("x", 0, "base"), replica("y", 17, "base", A)], "x"),
        ([replica("x", 0), replica("y", 40, "base", A)], "y"),
        ([replica("x", 0), replica("y", 41, "base", A)], "x"),
        ([replica("x", 99, "base", A)], "x"),
        ([replica("x", 50, "base", A), replica("y", 60, "base", A), replica("z", 30, "base", A)], "z"),
    ],
)
def test_a_model_goes_where_it_is_loaded_unless_loading_it_elsewhere_is_worth_it(
    replicas: list[Replica], best: str
) -> None:
    order = rank_replicas(replicas, A)
    assert order[0] == best
    assert sorted(order) == sorted(replica.id for replica in replicas)
    assert rank_replicas(list(reversed(replicas)), A) == order


def test_a_replica_that_loads_its_only_model_gets_what_the_loaded_ones_have_no_room_for() -> None:
    """Serve passes over replicas with as many requests as they may have."""
    replicas = [replica("new", 0), replica("y", 152, "base"), replica("x", 140, "base", A), replica("z", 0)]
    for model in ("base", A):
        order = rank_replicas(replicas, model, load_at_start=True)
        assert (order[:2], set(order[2:])) == (["x", "y"], {"new", "z"})
    alone = [replica("new", 0), replica("z", 0)]
    assert rank_replicas(alone, A, load_at_start=True) == rank_replicas(alone, A)
    assert rank_replicas(replicas, "", load_at_start=True) == rank_replicas(replicas, "")


def test_without_replicas_there_is_no_choice() -> None:
    assert rank_replicas([], A) == []


def test_any_replica_that_is_not_busy_takes_a_request_without_a_model() -> None:
    assert rank_replicas([replica("x", 30, "base"), replica("y", 0), replica("z", 9)], "")[0] == "y"


def test_before_any_report_adapters_of_a_base_go_to_one_replica_and_bases_spread() -> None:
    replicas = [replica(f"replica-{i}", i) for i in range(4)]
    names = [adapted_name("base", str(i)) for i in range(50)]
    assert len({rank_replicas(replicas, name)[0] for name in names}) == 1
    spread = Counter(rank_replicas(replicas, f"base-{i}")[0] for i in range(400))
    assert set(spread) == {replica.id for replica in replicas}
    assert max(spread.values()) < 2 * min(spread.values())


def test_adapters_spread_over_the_replicas_of_their_base_and_stay_when_one_is_added() -> None:
    replicas = [replica(f"replica-{i}", 0, "base") for i in range(3)]
    names = [adapted_name("base", str(i)) for i in range(300)]
    before = {name: rank_replicas(replicas, name)[0] for name in names}
    assert min(Counter(before.values()).values()) > 60
    after = {name: rank_replicas([*replicas, replica("new", 0, "base")], name)[0] for name in names}
    assert {after[name] for name in names if after[name] != before[name]} == {"new"}


def test_a_flood_of_one_adapter_spills_over_and_the_others_stay() -> None:
    """Sends every request to the best replica, which has the adapter from then on."""
    models: dict[str, set[str]] = {id_: {"base"} for id_ in "xyz"}
    ongoing = dict.fromkeys("xyz", 0)

    def send(name: str) -> str:
        (best, *_) = rank_replicas([replica(id_, ongoing[id_], *models[id_]) for id_ in "xyz"], name)
        models[best].add(name)
        return best

    quiet = {name: send(name) for name in (adapted_name("base", str(i)) for i in range(6))}
    for _ in range(120):
        ongoing[send(A)] += 1
    assert min(ongoing.values()) > 30
    assert {name: send(name) for name in quiet} == quiet


def test_names_tell_models_apart_by_weights_and_adapter() -> None:
    lora = WeightsRef(digest="1" * 64, manifest_key="k")
    full = WeightsRef(digest="2" * 64, manifest_key="k", form="full")
    qlora = WeightsRef(digest="3" * 64, manifest_key="k", form="qlora")
    base, adapted, tuned, quantized = (
        ModelRef(base=BASE, adapter=adapter) for adapter in (None, lora, full, qlora)
    )
    changed = ModelRef(base=BASE.model_copy(update={"context_length": 7}))
    assert base.name == base.weights == adapted.weights == weights_of(adapted.name)
    assert len({base.name, adapted.name, tuned.name, quantized.name, changed.name}) == 5
    assert tuned.name == tuned.weights
    assert base.weights != quantized.weights == weights_of(quantized.name)
    assert [one.owner.weights for one in (adapted, tuned, quantized)] == [
        base.weights,
        tuned.weights,
        quantized.weights,
    ]
    assert quantized.owner.adapter is None
