"""vLLM knows every argument that it is started with."""

import asyncio
import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from cluster.contracts.bases import BaseSpec
from cluster.contracts.generation import ModelRef
from cluster.contracts.serving_plan import VllmArguments
from cluster.serving.limits import EngineLimits
from cluster.serving.vllm_backend.load import VllmLoader
from cluster.serving.weights.folder import WeightsFolder
from cluster.storage.local import LocalStore
from tests.cluster.serving.fake_vllm import FakeVllm
from tests.families import make_family

LISTED = Path(__file__).with_name("engine_arguments.txt")


def known_arguments() -> set[str]:
    """Those of the real vLLM where the tests run with it, otherwise of a release that is supported."""
    if os.environ.get("TUNERY_TEST_VLLM") == "real":
        from vllm import AsyncEngineArgs

        return {field.name for field in dataclasses.fields(AsyncEngineArgs)}
    return {line for line in LISTED.read_text().splitlines() if not line.startswith("#")}


def arguments(base: BaseSpec, sizes: VllmArguments, folder: Path) -> dict[str, Any]:
    """What vLLM is started with for the base."""
    fake = FakeVllm()
    loader = VllmLoader(WeightsFolder(folder / "cache", LocalStore(folder)), EngineLimits(), sizes, fake)

    async def start_and_close() -> None:
        await (await loader(ModelRef(base=base))).close()

    asyncio.run(start_and_close())
    return fake.engines[0].arguments


@pytest.mark.parametrize("family", ["llama", "gemma3_images"])
def test_vllm_knows_every_argument_that_it_is_started_with(family: str, tmp_path: Path) -> None:
    sizes = VllmArguments(tensor_parallel_size=2, max_model_len=64, max_num_batched_tokens=2048)
    base = make_family(family, tmp_path / "base")
    # `interface.start` adds the last one.
    given = {*arguments(base, sizes, tmp_path), "structured_outputs_config"}
    assert {"enable_lora", "distributed_executor_backend", "max_num_batched_tokens"} <= given
    assert given <= known_arguments()
    assert VllmArguments.model_fields.keys() <= given


def test_a_model_of_text_and_images_starts_without_its_towers(tmp_path: Path) -> None:
    """It takes no images, and vLLM would need the files of a processor of images."""
    base = make_family("gemma3_images", tmp_path / "base")
    assert arguments(base, VllmArguments(), tmp_path)["language_model_only"] is True
