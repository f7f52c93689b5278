"""GPUs for serving: who has them, and who makes room."""

import pytest

from cluster.contracts.generation import ModelRef
from cluster.contracts.serving_plan import ServingPool, VllmPlan
from cluster.serving.deployment.placement.reservations import Reservation, superfluous, that_fit
from cluster.serving.deployment.placement.serve_applications import scaled
from cluster.serving.deployment.scaling import replicas
from cluster.serving.deployment.settings import EngineSettings
from tests.api import BASE

WANTED = Reservation("serving", 2)


def name(label: str, devices: int, pool: str = "serving") -> str:
    return f"model-{label}{Reservation(pool, devices).suffix}"


def test_a_name_tells_what_its_application_reserves() -> None:
    assert Reservation.read(name("0123", 4, pool="big-on-H100.a")) == Reservation("big-on-H100.a", 4)
    assert Reservation.read("model-0123") is None


@pytest.mark.parametrize(
    ("gpus", "wanted", "fitting"), [(1, 9, 8), (1, 2, 2), (3, 9, 2), (4, 9, 2), (4, 1, 1)]
)
def test_replicas_reserve_no_more_than_the_pool_has(gpus: int, wanted: int, fitting: int) -> None:
    plan = VllmPlan(
        pool=ServingPool(kind="cuda", nodes=2, devices=4, device_bytes=80 * 10**9),
        tensor_parallel_size=gpus,
        max_model_len=4096,
        max_num_batched_tokens=4096,
        max_num_seqs=8,
        memory=None,
    )
    assert that_fit(plan, wanted) == fitting
    assert Reservation.of(plan, replicas=wanted) == Reservation("serving", gpus * fitting)
    settings = EngineSettings().model_copy(
        update={"placement": "own", "min_replicas": wanted, "max_replicas": wanted}
    )
    assert replicas(scaled(ModelRef(base=BASE), settings, plan, merges=False)) == {"num_replicas": fitting}


@pytest.mark.parametrize(
    ("used", "removed"),
    [
        ({}, []),
        ({name("a", 2): 0.0}, []),
        ({name("a", 2): 50.0, name("b", 2): 0.0}, [name("b", 2)]),
        ({name("a", 1): 0.0, name("b", 1): 10.0, name("c", 2): 20.0}, [name("a", 1), name("b", 1)]),
        # Another pool's, and one without GPUs, are not in the way.
        ({name("a", 4, pool="other"): 0.0, "model-b": 0.0}, []),
        # In use.
        ({name("a", 2): 90.0, name("b", 2): 80.0}, None),
        ({name("a", 4): 90.0}, None),
    ],
)
def test_those_unused_for_longest_make_room(used: dict[str, float], removed: list[str] | None) -> None:
    assert superfluous(used, WANTED, devices=4, now=100.0, idle_seconds=40.0) == removed
