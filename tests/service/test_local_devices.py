import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from cluster.contracts.errors import InvalidConfiguration
from service.local_devices import divide_devices, driver_version, gpu_bytes, host_bytes, local_pool

GPUS = "0, GPU-aa01, 100\n1, GPU-bb02, 200\n2, GPU-cc03, 300\n"


def test_gpus_are_found_with_their_memory() -> None:
    asked: list[Sequence[str]] = []

    def run(query: Sequence[str]) -> str:
        asked.append(query)
        return GPUS

    assert gpu_bytes({}, run) == [100 * 2**20, 200 * 2**20, 300 * 2**20]
    assert "memory.total" in asked[0][0]


@pytest.mark.parametrize("answer", ["", "No devices were found\n"])
def test_without_gpus_there_are_none(answer: str) -> None:
    assert gpu_bytes({}, lambda _: answer) == []


@pytest.mark.parametrize(
    "answer", [OSError("no driver"), subprocess.TimeoutExpired("nvidia-smi", 30), "0, GPU-aa01, many", "what"]
)
def test_gpus_that_cannot_be_counted_are_not_taken_for_none(answer: str | Exception) -> None:
    def run(_: Sequence[str]) -> str:
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(InvalidConfiguration, match="set TUNERY_TRAINING_DEVICE=cpu"):
        gpu_bytes({}, run)
    for device in ("cpu", "cuda"):
        assert gpu_bytes({"TUNERY_TRAINING_DEVICE": device}, run) == []


@pytest.mark.parametrize(
    ("says", "status", "expected"),
    [
        ("No devices were found", 6, []),
        ("NVIDIA-SMI has failed because it could not talk to the driver.", 9, None),
        ("0, GPU-aa01, 100", 0, [100 * 2**20]),
    ],
)
def test_nvidia_smi_is_believed_unless_it_fails(
    says: str, status: int, expected: list[int] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\necho '{says}'\nexit {status}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    if expected is not None:
        assert gpu_bytes({}) == expected
        return
    with pytest.raises(InvalidConfiguration, match=r"could not talk to the driver\. Mend it"):
        gpu_bytes({})


@pytest.mark.parametrize(
    ("answer", "version"),
    [("570.124.06\n570.124.06\n", 570), ("", None), ("[N/A]\n", None), (OSError(), None)],
)
def test_the_driver_has_a_major_version(answer: str | Exception, version: int | None) -> None:
    def run(_: Sequence[str]) -> str:
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert driver_version(run) == version


def test_a_gpu_without_memory_of_its_own_has_the_hosts() -> None:
    assert gpu_bytes({}, lambda _: "0, GPU-aa01, [N/A]\n") == [host_bytes()]


@pytest.mark.parametrize(
    ("visible", "mebibytes"),
    [
        ("0", [100]),
        ("2,0", [300, 100]),
        (" 1 , 2 ", [200, 300]),
        ("GPU-bb", [200]),
        ("GPU-cc03,GPU-aa01", [300, 100]),
        ("", []),
        ("-1", []),
        ("1,-1,0", [200]),
        ("NoDevFiles", []),
    ],
)
def test_gpus_that_the_environment_hides_do_not_count(visible: str, mebibytes: list[int]) -> None:
    found = gpu_bytes({"CUDA_VISIBLE_DEVICES": visible}, lambda _: GPUS)
    assert found == [size * 2**20 for size in mebibytes]


@pytest.mark.parametrize("name", ["3", "GPU-dd", "MIG-aa01"])
def test_a_gpu_that_is_not_here_is_named(name: str) -> None:
    with pytest.raises(InvalidConfiguration, match=f"CUDA_VISIBLE_DEVICES names {name}, .* 0 \\(GPU-aa01"):
        gpu_bytes({"CUDA_VISIBLE_DEVICES": f"0,{name}"}, lambda _: GPUS)
    assert gpu_bytes({"CUDA_VISIBLE_DEVICES": name}, lambda _: "") == []


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


GB = 10**9


@pytest.mark.parametrize(
    ("given", "gpus", "training", "serving", "sharing"),
    [
        ({}, 0, ("cpu", 3), 0, "off"),
        ({}, 1, ("cuda", 1), 1, "training_first"),
        ({}, 8, ("cuda", 7), 1, "off"),
        ({"TUNERY_SERVING_GPUS": "4"}, 8, ("cuda", 4), 4, "off"),
        # Training keeps one.
        ({"TUNERY_SERVING_GPUS": "8"}, 8, ("cuda", 1), 7, "off"),
        ({"TUNERY_SERVING_GPUS": "0"}, 8, ("cuda", 8), 0, "off"),
        ({"TUNERY_GPU_SHARING": "off"}, 1, ("cuda", 1), 0, "off"),
        ({"TUNERY_GPU_SHARING": "serving_first"}, 1, ("cuda", 1), 1, "serving_first"),
        ({"TUNERY_GPU_SHARING": "serving_first"}, 4, ("cuda", 4), 4, "serving_first"),
        ({"TUNERY_TRAINING_DEVICE": "cpu"}, 8, ("cpu", 3), 8, "off"),
        ({"TUNERY_TRAINING_SLOTS": "4"}, 8, ("cuda", 4), 1, "off"),
        ({"TUNERY_TRAINING_DEVICE": "cuda"}, 0, ("cuda", 3), 0, "off"),
    ],
)
def test_gpus_are_divided_between_training_and_serving_or_taken_in_turns(
    given: dict[str, str], gpus: int, training: tuple[str, int], serving: int, sharing: str
) -> None:
    found = divide_devices(given, [80 * GB] * gpus, workers=3)
    assert found.training["TUNERY_TRAINING_DEVICE"] == training[0]
    assert found.training["TUNERY_TRAINING_SLOTS"] == str(training[1])
    pools = json.loads(found.training.get("TUNERY_TRAINING_POOLS", "[]"))
    assert [(pool["kind"], pool["devices"]) for pool in pools] in ([training], [])
    assert sum(pool.all_devices for pool in found.serving) == serving
    assert (found.sharing, found.engine_gpus) == (sharing, 0)


def test_the_embedded_engine_gets_a_gpu_only_where_there_are_several() -> None:
    given = {"TUNERY_ENGINE": "embedded"}
    for gpus, engine_gpus in ((0, 0), (1, 0), (8, 1)):
        found = divide_devices(given, [80 * GB] * gpus, workers=1)
        assert (found.engine_gpus, found.serving, found.sharing) == (engine_gpus, (), "off")


def test_pools_that_are_given_are_taken() -> None:
    given = {"TUNERY_SERVING_POOLS": '[{"kind": "cuda", "devices": 2, "device_bytes": "24GB"}]'}
    (pool,) = divide_devices(given, [80 * GB] * 8, workers=1).serving
    assert (pool.devices, pool.device_bytes) == (2, 24 * GB)
