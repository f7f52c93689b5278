from collections.abc import Sequence
from pathlib import Path

import pytest

from service.local_devices import gpu_bytes, host_bytes, local_pool, serving_gpus, training_environment


def test_gpus_are_found_with_their_memory() -> None:
    asked: list[Sequence[str]] = []

    def run(query: Sequence[str]) -> str:
        asked.append(query)
        return "81559\n81559\n"

    assert gpu_bytes(run) == [81559 * 2**20] * 2
    assert "memory.total" in asked[0][0]


@pytest.mark.parametrize("answer", ["", "No devices were found", OSError("no driver")])
def test_without_gpus_there_are_none(answer: str | Exception) -> None:
    def run(_: Sequence[str]) -> str:
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert gpu_bytes(run) == []


def test_a_containers_limit_is_its_memory(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    assert host_bytes(limit) > 0
    limit.write_text("1048576\n")
    assert host_bytes(limit) == 2**20
    limit.write_text("max\n")
    assert host_bytes(limit) == host_bytes(tmp_path / "absent")


def test_a_machine_is_a_pool() -> None:
    pool = local_pool([], workers=2)
    assert (pool.kind, pool.devices, pool.host_bytes) == ("cpu", 2, host_bytes())
    pool = local_pool([80 * 2**30, 40 * 2**30], workers=1)
    assert (pool.kind, pool.devices, pool.device_bytes) == ("cuda", 2, 40 * 2**30)


@pytest.mark.parametrize(
    ("given", "gpus", "expected", "reserved"),
    [
        ({}, 0, ("cpu", "3"), 0),
        ({}, 1, ("cuda", "1"), 0),
        ({}, 8, ("cuda", "7"), 1),
        ({"TUNERY_TRAINING_DEVICE": "cpu"}, 8, ("cpu", "3"), 0),
        ({"TUNERY_TRAINING_SLOTS": "4"}, 8, ("cuda", "4"), 1),
        ({"TUNERY_TRAINING_DEVICE": "cuda"}, 0, ("cuda", "3"), 0),
    ],
)
def test_several_gpus_are_divided_between_training_and_serving(
    given: dict[str, str], gpus: int, expected: tuple[str, str], reserved: int
) -> None:
    sizes = [80 * 2**30] * gpus
    found = training_environment(given, sizes, workers=3)
    assert (found["TUNERY_TRAINING_DEVICE"], found["TUNERY_TRAINING_SLOTS"]) == expected
    assert serving_gpus(given, sizes) == reserved
