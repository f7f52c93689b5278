from collections.abc import Sequence
from pathlib import Path

import pytest

from service.local_devices import gpu_bytes, host_bytes, local_pool


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
    pool = local_pool(workers=2)
    assert pool.devices == (2 if pool.kind == "cpu" else len(gpu_bytes()))
    assert pool.host_bytes == host_bytes()
