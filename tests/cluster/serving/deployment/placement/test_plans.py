"""Serving plans of bases, from their configuration and the installation's settings."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from cluster.bases.resolve import local_folder
from cluster.contracts.bases import BaseSpec, BuiltinSource, FolderSource
from cluster.contracts.errors import InvalidRequest
from cluster.contracts.generation import ModelRef
from cluster.contracts.hyperparameters import TrainingOptions
from cluster.contracts.weights import WeightsRef
from cluster.serving.deployment.placement.plans import ServingPlans, check_adapter_rank, why_not_served
from cluster.serving.deployment.settings import EngineSettings
from tests.families import make_family

pytestmark = pytest.mark.anyio


@pytest.fixture
def base(tmp_path: Path) -> BaseSpec:
    folder = tmp_path / "base"
    shutil.copytree(local_folder(BuiltinSource(name="tiny")), folder)
    return BaseSpec(
        alias="ours",
        source=FolderSource(path=str(folder)),
        context_length=1024,
        learning_rates={},
        engine="vllm",
    )


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> EngineSettings:
    pool = {"kind": "cuda", "devices": 1, "device_bytes": "24GB"}
    monkeypatch.setenv("TUNERY_SERVING_POOLS", json.dumps([pool]))
    return EngineSettings.read()


async def test_a_model_gets_the_engine_of_its_base_unless_only_the_embedded_one_runs_its_form(
    base: BaseSpec, settings: EngineSettings
) -> None:
    plans = ServingPlans(settings)
    forms = {"lora": "vllm", "full": "vllm", "prefix": "embedded", "qlora": "embedded"}
    for form, engine in forms.items():
        adapter = WeightsRef.model_validate({"digest": "1" * 64, "manifest_key": "k", "form": form})
        assert await plans.engine(ModelRef(base=base, adapter=adapter)) == engine
    assert await plans.engine(ModelRef(base=base)) == "vllm"


async def test_a_base_without_room_stays_vllms_and_says_why(
    base: BaseSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = {"kind": "cuda", "devices": 1, "device_bytes": "1GB"}
    monkeypatch.setenv("TUNERY_SERVING_POOLS", json.dumps([pool]))
    settings = EngineSettings.read()
    assert await ServingPlans(settings).engine(ModelRef(base=base)) == "vllm"
    reason = why_not_served(base, settings)
    assert reason is not None
    assert "the largest node for serving has 1 x 1 GB" in reason


def test_a_base_that_fits_is_served(base: BaseSpec, settings: EngineSettings) -> None:
    assert why_not_served(base, settings) is None


def test_a_quantized_base_is_as_large_as_its_files_or_their_index_say(
    base: BaseSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNERY_SERVING_POOLS", '[{"kind": "cuda", "devices": 1, "device_bytes": "24GB"}]')
    settings = EngineSettings.read()
    assert isinstance(base.source, FolderSource)
    folder = Path(base.source.path)
    config = json.loads((folder / "config.json").read_text())
    # 13 billion weights, which take 26 GB in 16 bits.
    config |= {"hidden_size": 5120, "num_attention_heads": 40, "intermediate_size": 13824}
    config |= {"num_key_value_heads": 40, "head_dim": 128, "num_hidden_layers": 40}
    (folder / "config.json").write_text(json.dumps(config))
    assert why_not_served(base, settings) is not None
    config["quantization_config"] = {"quant_method": "gptq"}
    (folder / "config.json").write_text(json.dumps(config))
    assert why_not_served(base, settings) is None
    (folder / "model.safetensors").unlink()
    assert why_not_served(base, settings) is None
    index = {"metadata": {"total_size": 30 * 10**9}, "weight_map": {"a": "model-1.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "weights 15.0" in (why_not_served(base, settings) or "")


async def test_a_quantized_base_keeps_its_plan_when_its_weights_arrive(
    base: BaseSpec, settings: EngineSettings
) -> None:
    assert isinstance(base.source, FolderSource)
    folder = Path(base.source.path)
    config = json.loads((folder / "config.json").read_text()) | {"quantization_config": {"bits": 4}}
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    index = {"metadata": {"total_size": len(content) - 1000}, "weight_map": {"a": weights.name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    weights.unlink()
    before = await ServingPlans(settings, lambda base: config).plan(base)
    weights.write_bytes(content)
    assert await ServingPlans(settings, lambda base: config).plan(base) == before


LORA = {"peft_type": "LORA"}


@pytest.mark.parametrize(
    ("training", "param"),
    [
        ({"r": 128}, "training.r"),
        ({"r": 128, "type": "qlora"}, "training.r"),
        ({"type": "peft", "peft_config": LORA | {"r": 128}}, "training.peft_config.r"),
        (
            {"type": "peft", "peft_config": LORA | {"rank_pattern": {"q_proj": 64, "v_proj": 65}}},
            "training.peft_config.rank_pattern.v_proj",
        ),
    ],
)
def test_an_adapter_that_vllm_could_not_load_is_refused_before_it_is_trained(
    base: BaseSpec, settings: EngineSettings, training: dict[str, Any], param: str
) -> None:
    options = TrainingOptions.model_validate(training)
    with pytest.raises(InvalidRequest, match="rank 64 at most") as refused:
        check_adapter_rank(base, options, settings)
    assert refused.value.param == param
    check_adapter_rank(base.model_copy(update={"engine": "embedded"}), options, settings)


MERGED: list[dict[str, Any]] = [
    {"r": 128, "use_dora": True},
    {"type": "full"},
    {"type": "peft", "peft_config": LORA | {"r": 128, "init_lora_weights": "pissa"}},
    {"type": "peft", "peft_config": {"peft_type": "LOHA", "r": 128}},
]


@pytest.mark.parametrize("training", [{"r": 64}, {"type": "peft", "peft_config": LORA}, *MERGED])
def test_small_adapters_and_those_that_are_merged_are_not(
    base: BaseSpec, settings: EngineSettings, training: dict[str, Any]
) -> None:
    check_adapter_rank(base, TrainingOptions.model_validate(training), settings)


def test_nor_are_adapters_on_experts_which_are_merged(settings: EngineSettings, tmp_path: Path) -> None:
    base = make_family("qwen3_moe", tmp_path / "experts").model_copy(update={"engine": "vllm"})
    check_adapter_rank(base, TrainingOptions(r=128), settings)
    with pytest.raises(InvalidRequest, match="rank 64 at most"):
        check_adapter_rank(base, TrainingOptions(r=128, target_modules=["q_proj"]), settings)
