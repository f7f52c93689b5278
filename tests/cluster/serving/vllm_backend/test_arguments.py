"""vLLM knows every argument that it is started with."""

import asyncio
import dataclasses
import os
from pathlib import Path

from cluster.contracts.generation import ModelRef
from cluster.contracts.serving_plan import VllmArguments
from cluster.serving.limits import EngineLimits
from cluster.serving.vllm_backend.load import VllmLoader
from cluster.serving.weights.folder import WeightsFolder
from tests.cluster.serving.conftest import Tuned
from tests.cluster.serving.fake_vllm import FakeVllm

LISTED = Path(__file__).with_name("engine_arguments.txt")


def known_arguments() -> set[str]:
    """Those of the real vLLM where the tests run with it, otherwise of a release that is supported."""
    if os.environ.get("TUNERY_TEST_VLLM") == "real":
        from vllm import AsyncEngineArgs

        return {field.name for field in dataclasses.fields(AsyncEngineArgs)}
    return {line for line in LISTED.read_text().splitlines() if not line.startswith("#")}


def test_vllm_knows_every_argument_that_it_is_started_with(tuned: Tuned, tmp_path: Path) -> None:
    sizes = VllmArguments(tensor_parallel_size=2, max_model_len=64, max_num_batched_tokens=2048)
    fake = FakeVllm()
    loader = VllmLoader(WeightsFolder(tmp_path / "cache", tuned.store), EngineLimits(), sizes, fake)

    async def start_and_close() -> None:
        await (await loader(ModelRef(base=tuned.base))).close()

    asyncio.run(start_and_close())
    # `interface.start` adds the last one.
    given = {*fake.engines[0].arguments, "structured_outputs_config"}
    assert {"enable_lora", "distributed_executor_backend", "max_num_batched_tokens"} <= given
    assert given <= known_arguments()
    assert VllmArguments.model_fields.keys() <= given
