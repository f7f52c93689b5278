"""GPUs for serving: who has them, and who makes room."""

import pytest

from cluster.serving.deployment.placement.reservations import Reservation, superfluous

WANTED = Reservation("serving", 2)


def name(label: str, devices: int, pool: str = "serving") -> str:
    return f"model-{label}{Reservation(pool, devices).suffix}"


def test_a_name_tells_what_its_application_reserves() -> None:
    assert Reservation.read(name("0123", 4, pool="big-on-H100.a")) == Reservation("big-on-H100.a", 4)
    assert Reservation.read("model-0123") is None


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
