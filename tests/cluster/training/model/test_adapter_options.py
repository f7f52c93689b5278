"""Options that PEFT would refuse in a running job are refused before it starts. PEFT itself is the oracle."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftType
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.utils.constants import (
    TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING,
    TRANSFORMERS_MODELS_TO_LNTUNING_TARGET_MODULES_MAPPING,
)
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM
from transformers.pytorch_utils import Conv1D

from cluster.bases.layers import layers_here, read_layers
from cluster.contracts.adapter_layers import check_layers
from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import InvalidConfiguration, InvalidRequest, TrainingFailed
from cluster.contracts.hyperparameters import Hyperparameters, TrainingOptions, check_options, resolve
from cluster.contracts.peft_options import ALLOWED, USUAL_LAYERS
from cluster.planning.families import FAMILIES as PLANNED
from cluster.planning.shapes import shape_of
from cluster.training.failure import failed_state
from cluster.training.model.adapters import attach
from tests.families import FAMILIES, make_family
from tests.family_support import ENCODERS, EXPERTS

pytestmark = pytest.mark.slow

ALL_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
Q = {"target_modules": ["q_proj"]}

# Options, and the field at fault; None where PEFT accepts them.
OPTIONS: list[tuple[dict[str, Any], str | None]] = [
    ({}, None),
    ({"r": 256}, None),
    ({"target_modules": ["q_proj", "v_proj"]}, None),
    ({"target_modules": ["model.layers.0.self_attn.q_proj"]}, None),
    ({"target_modules": ["self_attn.q_proj"]}, None),
    ({"target_modules": ["embed_tokens"]}, "target_modules"),
    ({"target_modules": ["model.embed_tokens"]}, "target_modules"),
    ({"target_modules": ["q_proj", "lm_head"]}, "target_modules"),
    ({"target_modules": ["nope"]}, "target_modules"),
    ({"target_modules": ["proj"]}, "target_modules"),
    ({"target_modules": ["mlp"]}, "target_modules"),
    ({"target_modules": ["input_layernorm"]}, "target_modules"),
    ({"target_modules": ["norm"]}, "target_modules"),
    ({"target_modules": ["model.layers.9.self_attn.q_proj"]}, "target_modules"),
]

CONFIGS: list[tuple[dict[str, Any], str | None]] = [
    *(
        ({"peft_type": method}, None)
        for method in ("LORA", "ADALORA", "LOHA", "LOKR", "OFT", "VERA", "IA3", "HRA")
    ),
    ({"peft_type": "LN_TUNING"}, None),
    ({"peft_type": "LN_TUNING", "target_modules": ["input_layernorm"]}, None),
    ({"peft_type": "LN_TUNING", "target_modules": ["embed_tokens"]}, "target_modules"),
    ({"peft_type": "LORA", "target_modules": ["embed_tokens"]}, "target_modules"),
    ({"peft_type": "LORA", "target_modules": ["nope"]}, "target_modules"),
    ({"peft_type": "IA3", "target_modules": ["nope"]}, "target_modules"),
    ({"peft_type": "LORA", "layers_to_transform": [0]}, "layers_to_transform"),
    ({"peft_type": "LORA", **Q, "layers_to_transform": [0]}, None),
    ({"peft_type": "LORA", **Q, "layers_to_transform": 1}, None),
    ({"peft_type": "LORA", **Q, "layers_to_transform": [2]}, "layers_to_transform"),
    ({"peft_type": "LORA", **Q, "layers_to_transform": ["a"]}, "layers_to_transform"),
    ({"peft_type": "LORA", "exclude_modules": ["q_proj"]}, None),
    ({"peft_type": "LORA", "exclude_modules": ALL_LINEAR}, "exclude_modules"),
    ({"peft_type": "LORA", "r": 0}, "r"),
    ({"peft_type": "LORA", "rank_pattern": {"q_proj": 4}}, None),
    ({"peft_type": "LORA", "rank_pattern": {"q_proj": 0}}, "rank_pattern"),
    ({"peft_type": "LORA", "bias": "all"}, None),
    ({"peft_type": "LORA", "bias": "some"}, "bias"),
    ({"peft_type": "LORA", "bias": True}, "bias"),
    ({"peft_type": "LORA", "init_lora_weights": "orthogonal"}, None),
    ({"peft_type": "LORA", "init_lora_weights": "orthogonal", "r": 7}, "r"),
    ({"peft_type": "ADALORA", "tinit": 5, "tfinal": 5}, None),
    ({"peft_type": "ADALORA", "use_dora": True}, "use_dora"),
    ({"peft_type": "LOHA", "r": 0}, "r"),
    ({"peft_type": "OFT", "r": 8}, "r"),
    ({"peft_type": "OFT", "r": 8, "oft_block_size": 0}, None),
    ({"peft_type": "OFT", "r": 0, "oft_block_size": 8}, None),
    ({"peft_type": "OFT", "r": 0, "oft_block_size": 0}, "r"),
    ({"peft_type": "VERA", "r": 0}, "r"),
    ({"peft_type": "IA3", **Q, "feedforward_modules": ["down_proj"]}, "feedforward_modules"),
    ({"peft_type": "IA3", "target_modules": ["down_proj"], "feedforward_modules": ["down_proj"]}, None),
    ({"peft_type": "HRA", "r": 0}, "r"),
    ({"peft_type": "MISS"}, "r"),
    ({"peft_type": "MISS", "r": 32}, None),
    ({"peft_type": "MISS", "r": 33}, "r"),
    ({"peft_type": "MISS", "r": 64, "target_modules": ["down_proj"]}, None),
    ({"peft_type": "FOURIERFT", "n_frequency": 512}, None),
    ({"peft_type": "FOURIERFT", "n_frequency": 513}, "n_frequency"),
    ({"peft_type": "FOURIERFT"}, "n_frequency"),
    ({"peft_type": "FOURIERFT", "n_frequency": 1000, **Q}, None),
    ({"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 4}, None),
    ({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 4}, None),
    ({"peft_type": "P_TUNING", "num_virtual_tokens": 4}, None),
    ({"peft_type": "P_TUNING", "num_virtual_tokens": 4, "encoder_reparameterization_type": "LSTM"}, None),
    (
        {"peft_type": "P_TUNING", "num_virtual_tokens": 4, "encoder_reparameterization_type": "GRU"},
        "encoder_reparameterization_type",
    ),
]
CASES = [(options, param and f"training.{param}") for options, param in OPTIONS] + [
    ({"type": "peft", "peft_config": config}, param and f"training.peft_config.{param}")
    for config, param in CONFIGS
]

# PEFT accepts these silently, although they have no effect.
IGNORED_BY_PEFT: list[tuple[dict[str, Any], str]] = [
    ({"target_modules": ["q_proj", "qproj"]}, "training.target_modules"),
    *(
        ({"type": "peft", "peft_config": {"peft_type": "LORA", **config}}, f"training.peft_config.{param}")
        for config, param in (
            ({**Q, "layers_to_transform": [0, 99]}, "layers_to_transform"),
            ({"exclude_modules": ["qproj"]}, "exclude_modules"),
            ({"rank_pattern": {"qproj": 4}}, "rank_pattern"),
            ({"alpha_pattern": {"qproj": 4}}, "alpha_pattern"),
        )
    ),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseSpec:
    return make_family("llama", tmp_path_factory.mktemp("llama"))


def folder_of(base: BaseSpec) -> Path:
    return Path(base.source.path)  # type: ignore[union-attr]


@cache
def without_weights(folder: Path) -> Any:
    return AutoConfig.from_pretrained(folder)


def check(options: dict[str, Any], base: BaseSpec) -> TrainingOptions:
    """Checks options as a create request does."""
    training = TrainingOptions.model_validate(options)
    check_options(training, base, "supervised")
    layers = layers_here(base)
    assert layers is not None
    check_layers(training, layers, base.alias)
    return training


def test_every_method_is_among_the_cases() -> None:
    assert {config["peft_type"] for config, _ in CONFIGS} == set(ALLOWED)


@pytest.mark.parametrize(("options", "param"), CASES, ids=str)
def test_what_peft_refuses_is_refused_before_a_job_starts_and_nothing_else(
    base: BaseSpec, options: dict[str, Any], param: str | None
) -> None:
    training = TrainingOptions.model_validate(options)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(without_weights(folder_of(base)))
    is_refused = False
    try:
        _, config = resolve(
            Hyperparameters(),
            training.model_copy(update={"peft_config": None, "type": "lora"}),
            base,
            n_examples=40,
            seed=1,
        )
        config = config.model_copy(update={"type": training.type, "peft_config": training.peft_config})
        attach(model, base, config, total_steps=30)
    except TrainingFailed:
        is_refused = True
    assert is_refused == (param is not None)
    if param is None:
        check(options, base)
    else:
        with pytest.raises(InvalidRequest) as refused:
            check(options, base)
        assert refused.value.param == param


@pytest.mark.parametrize(("options", "param"), IGNORED_BY_PEFT, ids=str)
def test_a_name_that_peft_would_ignore_is_refused_too(
    base: BaseSpec, options: dict[str, Any], param: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check(options, base)
    assert refused.value.param == param


def test_a_refusal_names_the_layers_that_exist(base: BaseSpec) -> None:
    for name in ("nope", "embed_tokens", "input_layernorm"):
        with pytest.raises(InvalidRequest) as refused:
            check({"target_modules": [name]}, base)
        assert refused.value.message.endswith(f"it has {', '.join(sorted(ALL_LINEAR))}.")
        assert f"'{name}'" in refused.value.message


def test_a_schedule_that_is_longer_than_the_job_is_refused_when_its_steps_are_known(base: BaseSpec) -> None:
    config = {"peft_type": "ADALORA", "tinit": 10, "tfinal": 10}
    training = check({"type": "peft", "peft_config": config}, base)
    asked = Hyperparameters(n_epochs=2, batch_size=4)
    resolve(asked, training, base, n_examples=41, seed=1)
    with pytest.raises(InvalidRequest) as refused:
        resolve(asked, training, base, n_examples=40, seed=1)
    assert refused.value.param == "training.peft_config.tinit"


NAMES = ("q_proj", "gate_proj", "down_proj", "w1", "gate", "router", "experts", "gate_up_proj", "conv1d",
         "shared_expert.gate_proj", "mlp.shared_experts.down_proj", "in_proj", "input_linear")  # fmt: skip
ASKED: list[dict[str, Any]] = [
    *({"target_modules": [name]} for name in NAMES),
    {"target_modules": ["gate_proj", "up_proj", "down_proj"]},
    {"target_modules": "all-linear"},
    *(
        {"type": "peft", "peft_config": {"peft_type": method}}
        for method in ("IA3", "LN_TUNING", "VERA", "LOHA")
    ),
    *(
        {"type": "peft", "peft_config": {"peft_type": method, "target_modules": [name]}}
        for method in ("LORA", "LOHA")
        for name in ("gate_proj", "down_proj", "router")
    ),
]


@pytest.mark.parametrize("family", sorted(EXPERTS))
def test_adapters_of_models_with_experts_are_attached_or_refused_with_what_can_be_adapted(
    family: str, tmp_path: Path
) -> None:
    base = make_family(family, tmp_path)
    shape, layers = shape_of(json.loads((tmp_path / "config.json").read_text())), layers_here(base)
    assert shape is not None
    assert layers is not None
    for options in ASKED:
        training = TrainingOptions.model_validate(options)
        check_options(training, base, "supervised")
        _, config = resolve(Hyperparameters(), training, base, n_examples=40, seed=1)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tmp_path))
        refusal = None
        try:
            check_layers(training, layers, base.alias, shape)
        except InvalidRequest as error:
            refusal = error
        if refusal is None:
            adapted = attach(model, base, config, total_steps=30)
            assert any(parameter.requires_grad for parameter in adapted.parameters()), options
            continue
        assert refusal.param is not None
        assert refusal.param.endswith("target_modules")
        assert re.search(r"name |it has |has [a-z]", refusal.message), refusal.message
        # PEFT would adapt experts where a layer beside them is named, and convolutions without merging them.
        # Routers are ordinary layers in some releases of transformers.
        if not re.search(r"\.|conv1d|router", str(options)):
            with pytest.raises(TrainingFailed):
                attach(model, base, config, total_steps=30)


def test_what_a_request_may_say_of_a_method_is_what_peft_knows() -> None:
    for method, fields in ALLOWED.items():
        assert fields <= set(PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(method)].__dataclass_fields__), method
    usual = {
        "IA3": TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING,
        "LN_TUNING": TRANSFORMERS_MODELS_TO_LNTUNING_TARGET_MODULES_MAPPING,
    }
    assert {method: known.keys() & PLANNED.keys() for method, known in usual.items()} == USUAL_LAYERS


@pytest.mark.parametrize("family", FAMILIES)
def test_every_layer_that_a_family_has_may_be_named_as_the_model_names_it(
    family: str, tmp_path: Path
) -> None:
    base = make_family(family, tmp_path)
    auto = AutoModelForMaskedLM if family in ENCODERS else AutoModelForCausalLM
    with torch.device("meta"):
        model = auto.from_config(AutoConfig.from_pretrained(tmp_path))
    outer = (model.get_input_embeddings(), model.get_output_embeddings())
    blocks = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module not in outer and ".0." in name
    ]
    assert blocks
    layers = read_layers(tmp_path)
    assert layers.num_layers == model.config.get_text_config().num_hidden_layers
    for name in blocks:
        for target in (name, name.rpartition(".")[2]):
            check_layers(TrainingOptions(target_modules=[target]), layers, base.alias)
    for name, module in model.named_modules():
        if module in outer:
            with pytest.raises(InvalidRequest):
                check_layers(TrainingOptions(target_modules=[name]), layers, base.alias)


def test_unreadable_layers_are_an_error_and_not_guessed(tmp_path: Path, base: BaseSpec) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(InvalidConfiguration):
        read_layers(tmp_path)
    source = base.source.model_copy(update={"path": str(tmp_path)})
    assert layers_here(base.model_copy(update={"source": source})) is None


def test_what_still_fails_after_the_start_names_the_option_that_is_to_blame() -> None:
    error = TrainingFailed("No such layer.", code="invalid_target_modules", param="training.target_modules")
    assert failed_state(error).param == "training.target_modules"
