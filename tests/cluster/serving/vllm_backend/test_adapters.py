"""Adapters are written as vLLM reads them, and take no more of the host's memory than they may."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from cluster.contracts.errors import Unavailable
from cluster.contracts.serving_plan import ServingPool, VllmArguments, VllmPlan
from cluster.contracts.weights import WeightsRef
from cluster.serving.limits import EngineLimits
from cluster.serving.vllm_backend.adapters import Adapters
from cluster.serving.vllm_backend.host_memory import host_bytes
from cluster.serving.vllm_backend.plain_lora import write_plain
from cluster.serving.weights.adapter import Adapter, LoraPair
from tests.cluster.serving.fake_vllm import FakeVllm

GB = 10**9
BYTES = 2 * (4 * 8 + 4 * 16)
"""Of the adapter in bfloat16."""


def adapter(digest: str = "1" * 64) -> Adapter:
    torch.manual_seed(0)
    return Adapter(digest, {"q_proj": LoraPair(down=torch.randn(4, 8), up=torch.randn(4, 16))})


def ref(digit: int) -> WeightsRef:
    return WeightsRef(digest=str(digit) * 64, manifest_key="k", form="lora")


class Llm:
    """Keeps the numbers of the adapters that it has."""

    errored = False

    def __init__(self) -> None:
        self.loras: list[int] = []
        self.paths: list[str] = []

    async def add_lora(self, request: Any) -> bool:
        self.loras.append(request.lora_int_id)
        self.paths.append(request.lora_path)
        return True

    async def remove_lora(self, number: int) -> bool:
        self.loras.remove(number)
        return True


def adapters(folder: Path, llm: Llm, **changes: Any) -> Adapters:
    options: dict[str, Any] = {
        "read": lambda ref: adapter(ref.digest),
        "folder": folder,
        "release": lambda: shutil.rmtree(folder),
        "limits": EngineLimits(),
        "max_rank": 8,
        "dtype": torch.bfloat16,
        "workers": 1,
        "host_bytes": GB,
    }
    return Adapters(FakeVllm()(), llm, **options | changes)  # type: ignore[arg-type]


async def load(loaded: Adapters, *digits: int) -> None:
    for digit in digits:
        async with loaded.acquire(ref(digit)):
            pass


def test_an_adapter_is_written_in_the_bases_type_rounded_as_vllm_rounds_it(tmp_path: Path) -> None:
    whole, half = tmp_path / "whole", tmp_path / "half"
    assert write_plain(adapter(), whole, torch.float32) == 2 * BYTES
    assert write_plain(adapter(), half, torch.bfloat16) == BYTES
    read, halved = (load_file(folder / "adapter_model.safetensors") for folder in (whole, half))
    # vLLM: `tensor.to(device=device, dtype=dtype)`.
    assert {name: tensor.to(torch.bfloat16).tolist() for name, tensor in read.items()} == {
        name: tensor.tolist() for name, tensor in halved.items()
    }
    assert {tensor.dtype for tensor in halved.values()} == {torch.bfloat16}


@pytest.mark.parametrize(("workers", "kept"), [(1, 4), (2, 2), (4, 1)])
def test_adapters_take_no_more_host_memory_than_they_may_in_all_processes(
    tmp_path: Path, workers: int, kept: int
) -> None:
    llm = Llm()
    loaded = adapters(tmp_path, llm, workers=workers, host_bytes=4 * BYTES + 1)
    asyncio.run(load(loaded, 1, 2, 3, 4, 5, 6))
    assert llm.loras == list(range(7 - kept, 7))


def test_an_adapter_that_cannot_be_read_leaves_no_files(tmp_path: Path) -> None:
    def read(ref: WeightsRef) -> Adapter:
        # Refused after its folder has been made.
        no_tensor: Any = None
        return Adapter(ref.digest, {"q_proj": LoraPair(down=no_tensor, up=torch.zeros(1, 1))})

    with pytest.raises(AttributeError):
        asyncio.run(load(adapters(tmp_path, Llm(), read=read), 1))
    assert list(tmp_path.iterdir()) == []


def test_files_of_an_adapter_that_vllm_has_not_removed_stay_as_they_are(tmp_path: Path) -> None:
    class Failing(Llm):
        async def remove_lora(self, number: int) -> bool:
            raise RuntimeError

    llm = Failing()
    asyncio.run(load(adapters(tmp_path, llm, limits=EngineLimits(adapters=1)), 1, 2, 1))
    assert len(set(llm.paths)) == 3
    assert all(Path(path).exists() for path in llm.paths)


def test_a_vllm_that_hangs_is_not_waited_for_when_its_adapters_are_closed(tmp_path: Path) -> None:
    class Hung(Llm):
        async def remove_lora(self, number: int) -> bool:
            await asyncio.Event().wait()
            return True

    async def closed() -> None:
        loaded = adapters(tmp_path / "copies", Hung(), close_seconds=0.1)
        await load(loaded, 1)
        await asyncio.wait_for(loaded.close(), 30)

    asyncio.run(closed())
    assert not (tmp_path / "copies").exists()


def test_a_disk_that_fails_is_no_fault_of_the_adapter(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="disk"):
        asyncio.run(load(adapters(tmp_path / "file" / "folder", Llm()), 1))


def test_an_engine_has_its_devices_part_of_half_of_the_hosts_memory() -> None:
    pool = ServingPool.model_validate({"kind": "cuda", "devices": 8, "device_bytes": 80 * GB})
    plan = VllmPlan(
        pool=pool,
        tensor_parallel_size=4,
        max_model_len=1,
        max_num_seqs=1,
        max_num_batched_tokens=1,
        memory=None,
    )

    def of(sizes: VllmArguments, adapter_bytes: int | None, *, largest: int = GB) -> int:
        limits = EngineLimits(adapter_bytes=adapter_bytes)
        return host_bytes(sizes, limits, largest=largest, free=400 * GB)

    assert of(plan, None) == 100 * GB
    assert of(plan, 36 * GB) == 36 * GB
    assert of(plan, 36 * GB, largest=40 * GB) == 40 * GB, "one has room, or it could never be served"
    assert of(VllmArguments(), None) == 200 * GB
