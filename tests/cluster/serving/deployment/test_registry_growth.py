"""Far more adapters are published, served and deleted than a replica has room for."""

import asyncio
import gc
import json
import tracemalloc
import weakref
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from cluster.contracts.weights import WeightsRef
from cluster.scratch import folder_bytes
from cluster.serving.residency.model_cache import ModelCache
from cluster.serving.weights.adapter import Adapter
from cluster.serving.weights.folder import WeightsFolder
from cluster.serving.weights.lora_files import read_adapter
from tests.cluster.serving.published import publish_bytes
from tests.cluster.serving.stores import MemoryStore

pytestmark = pytest.mark.slow

LAYER = "model.layers.0.self_attn.q_proj"
SHAPES = {LAYER: (32, 24)}
CPU = torch.device("cpu")
CONFIG = json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}).encode()
MEMORY_BYTES, DISK_BYTES = 8 << 10, 16 << 10


class Replica:
    """An engine's adapters, on disk and in memory."""

    def __init__(self, cache: Path) -> None:
        self.store = MemoryStore()
        self.weights = WeightsFolder(cache, self.store, budget_bytes=DISK_BYTES)
        self.cache: ModelCache[Adapter] = ModelCache(
            capacity=1000, max_waiting=0, budget=MEMORY_BYTES, num_bytes=lambda adapter: adapter.num_bytes
        )
        self.alive: weakref.WeakSet[Adapter] = weakref.WeakSet()

    def publish(self, number: int) -> WeightsRef:
        pair = {f"base_model.model.{LAYER}.lora_A.weight": torch.full((4, 32), float(number))}
        pair[f"base_model.model.{LAYER}.lora_B.weight"] = torch.ones(24, 4)
        files = {"adapter_config.json": CONFIG, "adapter_model.safetensors": save(pair)}
        return publish_bytes(self.store, f"j{number}", files)

    async def use(self, ref: WeightsRef) -> float:
        """A weight of the adapter."""

        async def load() -> Adapter:
            with self.weights.lease(ref, base_digest="b", template_digest="t") as folder:
                return read_adapter(folder, ref.digest, SHAPES, CPU)

        adapter = await self.cache.acquire(ref.digest, load)
        self.alive.add(adapter)
        self.cache.release(ref.digest)
        return float(adapter.pairs[LAYER].down[0, 0])

    def delete(self, ref: WeightsRef) -> None:
        for stored in list(self.store.list(ref.manifest_key.removesuffix("manifest.json"))):
            self.store.delete(stored.key)

    async def pass_through(self, numbers: range) -> None:
        for number in numbers:
            ref = self.publish(number)
            assert await self.use(ref) == number
            self.delete(ref)


async def _publish_and_delete(cache: Path) -> None:
    replica = Replica(cache)
    tracemalloc.start()
    try:
        await replica.pass_through(range(100))
        before = _our_bytes()
        await replica.pass_through(range(100, 300))
        grown = _our_bytes() - before
    finally:
        tracemalloc.stop()
    assert sum(adapter.num_bytes for adapter in replica.alive) <= MEMORY_BYTES
    assert folder_bytes(cache) <= DISK_BYTES
    # Less than any retained part of each would use; pydantic and safetensors keep 200 bytes per read.
    assert grown < 200 * 320


def _our_bytes() -> int:
    """What our code has allocated since tracing began and not released. Other threads of the process, and a
    measurement of coverage, allocate memory of their own."""
    gc.collect()
    ours = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/cluster/*")])
    return sum(trace.size for trace in ours.traces)


@pytest.mark.thorough
def test_hundreds_of_adapters_come_and_go_within_the_same_memory_and_disk(tmp_path: Path) -> None:
    asyncio.run(_publish_and_delete(tmp_path / "cache"))


async def _registered(cache: Path) -> None:
    replica = Replica(cache)
    refs = [replica.publish(number) for number in range(300)]
    assert [await replica.use(ref) for ref in refs] == list(range(300))
    assert [await replica.use(ref) for ref in refs[::20]] == list(range(0, 300, 20))


@pytest.mark.thorough
def test_each_of_hundreds_of_registered_adapters_can_be_used_at_any_time(tmp_path: Path) -> None:
    asyncio.run(_registered(tmp_path / "cache"))
