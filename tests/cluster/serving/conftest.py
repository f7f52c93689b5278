"""The backends under the engine contract, and tuned models for them to serve."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from cluster.bases.resolve import base_folder
from cluster.contracts.bases import BaseSpec
from cluster.contracts.serving_plan import VllmArguments
from cluster.contracts.weights import WeightsRef
from cluster.serving.embedded.load import EmbeddedLoader
from cluster.serving.limits import EngineLimits
from cluster.serving.residency.pool import EnginePool
from cluster.serving.residency.shared_cache import shared_cache
from cluster.serving.vllm_backend.interface import import_vllm
from cluster.serving.vllm_backend.load import VllmLoader
from cluster.serving.weights.folder import WeightsFolder
from cluster.storage.local import LocalStore
from cluster.storage.store import ObjectStore
from tests.cluster.serving.fake_vllm import FakeVllm
from tests.cluster.serving.harness import LoopThread, Served
from tests.cluster.serving.loaded_encoders import encoders, pooled
from tests.cluster.serving.published import publish_full, publish_lora
from tests.tiny_base import make_tiny_base

__all__ = ["encoders", "pooled"]

ADAPTERS: dict[str, dict[str, Any]] = {
    "all_linear": {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"},
    "wide_rank": {"r": 16, "lora_alpha": 4, "target_modules": ["q_proj", "v_proj"]},
    "rslora": {"r": 8, "lora_alpha": 4, "use_rslora": True, "target_modules": ["gate_proj", "down_proj"]},
    "rank_pattern": {
        "r": 2,
        "lora_alpha": 2,
        "target_modules": ["q_proj", "o_proj", "up_proj"],
        "rank_pattern": {"layers.1.self_attn.o_proj": 6, "up_proj": 3},
        "alpha_pattern": {"layers.0.self_attn.q_proj": 8},
    },
}


@dataclass(frozen=True)
class Tuned:
    """A tiny base, its fine-tunes in storage by name, and the same models in transformers and PEFT."""

    base: BaseSpec
    store: LocalStore
    folder: Path
    refs: dict[str, WeightsRef | None]
    """`base` is None: the base itself."""

    @property
    def tokenizer(self) -> Any:
        return AutoTokenizer.from_pretrained(base_folder(self.base))

    def reference(self, name: str) -> Any:
        """The model as transformers and PEFT load it."""
        if name == "full":
            return AutoModelForCausalLM.from_pretrained(self.folder / name, dtype=torch.float32)
        model = AutoModelForCausalLM.from_pretrained(base_folder(self.base), dtype=torch.float32)
        return model if name == "base" else PeftModel.from_pretrained(model, self.folder / name).eval()


@pytest.fixture(scope="session")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    folder = tmp_path_factory.mktemp("tuned")
    base = make_tiny_base(folder / "tiny")
    store = LocalStore(folder / "store")
    refs: dict[str, WeightsRef | None] = {"base": None}
    for seed, (name, options) in enumerate(ADAPTERS.items()):
        refs[name] = publish_lora(store, base, folder / name, seed=seed, **options)
    refs["full"] = publish_full(store, base, folder / "full", seed=9)
    return Tuned(base, store, folder, refs)


@contextmanager
def _embedded(base: BaseSpec, store: ObjectStore, cache: Path, limits: EngineLimits) -> Iterator[Served]:
    loop = LoopThread()
    loader = EmbeddedLoader(WeightsFolder(cache, store), limits)

    async def start() -> EnginePool:
        return EnginePool(loader, shared_cache(capacity=4))

    pool = loop.run(start())
    try:
        yield Served(loop, pool, base)
    finally:
        loop.run(pool.close())
        loop.stop()


@contextmanager
def _vllm(base: BaseSpec, store: ObjectStore, cache: Path, limits: EngineLimits) -> Iterator[Served]:
    """The real vLLM if TUNERY_TEST_VLLM is set to it, as in tests/real_vllm; otherwise a fake."""
    is_real = os.environ.get("TUNERY_TEST_VLLM") == "real"
    # Tests run several engines with tiny models on one GPU.
    sizes = VllmArguments(gpu_memory_utilization=float(os.environ.get("TUNERY_TEST_VLLM_SHARE", "0.08")))
    vllm = import_vllm if is_real else FakeVllm()
    loader = VllmLoader(WeightsFolder(cache, store), limits, sizes, vllm, eager=True)
    loop = LoopThread()

    async def start() -> EnginePool:
        return EnginePool(loader, shared_cache(capacity=4))

    pool = loop.run(start())
    try:
        yield Served(loop, pool, base)
    finally:
        loop.run(pool.close())
        loop.stop()


BACKENDS = {"embedded": _embedded, "vllm": _vllm}
"""A context manager for each: (base, store, cache folder, limits) -> Served."""

Serve = Callable[..., Served]


@pytest.fixture(scope="session", params=BACKENDS)
def served(request: pytest.FixtureRequest, tuned: Tuned, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One engine for all tests that only send requests."""
    with BACKENDS[request.param](
        tuned.base, tuned.store, tmp_path_factory.mktemp("cache"), EngineLimits()
    ) as made:
        yield made


@pytest.fixture(params=BACKENDS)
def serve(request: pytest.FixtureRequest, tuned: Tuned, tmp_path: Path) -> Iterator[Serve]:
    """Starts an engine for one test: `serve(store=…, **limits)`."""
    open_: list[Any] = []

    def start(*, base: BaseSpec = tuned.base, store: ObjectStore = tuned.store, **limits: int) -> Served:
        context = BACKENDS[request.param](base, store, tmp_path / "cache", EngineLimits(**limits))
        open_.append(context)
        made: Served = context.__enter__()
        return made

    yield start
    for context in open_:
        context.__exit__(None, None, None)
