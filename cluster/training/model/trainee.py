"""The model that is trained: a base from disk, and on it the parameters that learn."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cluster.bases.four_bits import in_four_bits
from cluster.bases.layer_kinds import layer_kinds
from cluster.bases.lora_form import served_form
from cluster.contracts.bases import BaseSpec, WeightsForm
from cluster.contracts.errors import InvalidConfiguration, TrainingFailed
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.contracts.peft_options import PREFIXES
from cluster.training.checkpoints.export import DTYPES
from cluster.training.data.batches import Layout
from cluster.training.data.dataset import Dataset
from cluster.training.loop.throughput import elements
from cluster.training.model import attention
from cluster.training.model.adapters import attach
from cluster.training.model.head import Head, causal_model
from cluster.training.model.layout import check_layout
from cluster.training.model.pretrained import load_dequantized, load_pretrained

CHECKPOINTED_PARAMETERS = 1_000_000_000
"""From this size on a GPU, `auto` computes activations again rather than keeping them."""


@dataclass(frozen=True, slots=True)
class Trainee:
    """A model ready to train, and how it wants to be run."""

    model: Any
    """A transformers model, or PEFT's wrapper of one."""
    layout: Layout
    head: Head
    """Of a causal model; an encoder's is its own."""
    form: WeightsForm
    """What its checkpoints are to serving."""
    notes: list[str]
    """What was done otherwise than usual, and why, for the job's owner."""


def load_trainee(
    weights: Path,
    base: BaseSpec,
    config: TrainingConfig,
    device: torch.device,
    *,
    data: Dataset,
    total_steps: int,
    is_base: bool = True,
) -> Trainee:
    """The model in `weights`, ready to train on `data`.

    Adapters: weights frozen in the base's own type, or in 4 bits, and the adapter in fp32. Full: every weight
    in fp32, because bf16 weights round small updates away; `autocast` computes in the base's type. `is_base`
    is False if `weights` are not the catalogue's own: an adapter on them is no adapter of the base.

    Raises InvalidConfiguration if the weights cannot be run, TrainingFailed if the adapter does not fit them.
    """
    notes: list[str] = []
    kinds: dict[str, str] = {}
    layout: Layout = "masked"
    head = Head()
    if base.architecture == "encoder":
        model, task = load_encoder(weights, base, config, data)
    else:
        model, task = load_decoder(weights, base, config, device), "CAUSAL_LM"
        check_vocabulary(model, int(data.token_ids.max()))
        kinds = layer_kinds(model.to(device))
        is_prefixed = config.peft_type in PREFIXES
        with autocast(base, device):
            layout, head, notes = check_layout(model, packing=config.packing and not is_prefixed)
        head = Head(is_apart=head.is_apart and not is_prefixed)
    model = model.to(device)
    form: WeightsForm = "full"
    if config.type != "full":
        model = attach(model, base, config, total_steps=total_steps, task=task)
        if kinds and is_base:
            form = adapted_form(model, kinds)
            if form == "lora" and is_served_quantized(base, config):
                form = "qlora"
        if form == "full":
            notes.append(
                "The tuned model is served as a model of its own: the adapter is merged into the base."
            )
    _save_memory(model, config, device, notes)
    return Trainee(model, layout, head, form, notes)


def load_decoder(weights: Path, base: BaseSpec, config: TrainingConfig, device: torch.device) -> Any:
    """A causal model without adapters."""
    # Here, because the import takes seconds and only the process that trains needs it.
    from transformers import AutoModelForCausalLM

    dtype = torch.float32 if config.type == "full" else DTYPES[base.dtype]
    options = in_four_bits(dtype, device) if config.type == "qlora" else {}
    model = load_pretrained(AutoModelForCausalLM, weights, dtype, **options)
    model.config.use_cache = False
    if config.type == "qlora":
        _keep_packing(model)
    return model


def load_merge_base(
    weights: Path, base: BaseSpec, config: TrainingConfig, data: Dataset, *, is_quantized: bool
) -> Any:
    """What an adapter is merged into: the model in `weights` in fp32, in the host's memory. `is_quantized`:
    with weights that went through 4 bits."""
    if is_quantized:
        from transformers import AutoModelForCausalLM

        return load_dequantized(
            AutoModelForCausalLM, weights, DTYPES[base.dtype], torch.device("cpu")
        ).float()
    whole = config.model_copy(update={"type": "full"})
    if base.architecture == "encoder":
        return load_encoder(weights, base, whole, data)[0]
    return load_decoder(weights, base, whole, torch.device("cpu"))


def load_encoder(weights: Path, base: BaseSpec, config: TrainingConfig, data: Dataset) -> tuple[Any, str]:
    """An encoder with a head for the classes of `data`, and PEFT's name of its task. A new head's first
    values depend on the seed alone."""
    from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

    kind = AutoModelForTokenClassification if data.is_per_token else AutoModelForSequenceClassification
    torch.manual_seed(config.seed)
    model = load_pretrained(
        kind,
        weights,
        torch.float32 if config.type == "full" else DTYPES[base.dtype],
        num_labels=len(data.class_names),
        id2label=dict(enumerate(data.class_names)),
        label2id={name: number for number, name in enumerate(data.class_names)},
    )
    return model, "TOKEN_CLS" if data.is_per_token else "SEQ_CLS"


def is_served_quantized(base: BaseSpec, config: TrainingConfig) -> bool:
    """The tuned model is served on the quantized weights that it is trained on."""
    return config.type == "qlora" and base.qlora_served_on == "four_bits"


def adapted_form(model: Any, kinds: Mapping[str, str]) -> WeightsForm:
    """What an adapter on a base is to serving. `model` is PEFT's wrapper, `kinds` are the base's layers'."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapted = {
        name: kinds.get(name, type(module).__name__)
        for name, module in causal_model(model).named_modules()
        if isinstance(module, BaseTunerLayer)
    }
    return served_form(model.peft_config["default"].to_dict(), adapted)


def trainable_parameters(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """By name, in the model's own order; a tied weight once."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def autocast(base: BaseSpec, device: torch.device) -> torch.autocast:
    """Computes in the base's type; does nothing for a base in fp32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=base.dtype == "bfloat16")


def check_vocabulary(model: Any, highest_token: int) -> None:
    """Raises InvalidConfiguration if the tokenizer makes tokens that the model has no embedding for."""
    rows = model.get_input_embeddings().weight.shape[0]
    if highest_token >= rows:
        raise InvalidConfiguration(
            f"The tokenizer makes token {highest_token}, and the model's vocabulary has {rows}; the base's "
            "tokenizer and weights do not belong together."
        )


def layers(model: Any) -> list[torch.nn.Module]:
    """The repeated blocks of a transformers model: its longest list of modules."""
    lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    return list(max(lists, key=len, default=()))


def _keep_packing(model: Any) -> None:
    """bitsandbytes packs weights anew, with coarser scales, the first time that some CPUs evaluate them: what
    is trained afterwards would differ from what was trained before."""
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def _save_memory(model: Any, config: TrainingConfig, device: torch.device, notes: list[str]) -> None:
    """Raises TrainingFailed if the family cannot do what the configuration insists on."""
    inner = causal_model(model)
    wanted = config.activation_checkpointing
    if wanted == "auto":
        is_large = sum(map(elements, model.parameters())) >= CHECKPOINTED_PARAMETERS
        wanted = "full" if is_large and device.type == "cuda" else "none"
        # Its keys and values would be thrown away with the activations.
        is_possible = inner.supports_gradient_checkpointing and config.peft_type != "PREFIX_TUNING"
        if wanted == "full" and not is_possible:
            wanted = "none"
            notes.append("Activations are kept: this model cannot compute them again.")
    if wanted != "none":
        if not inner.supports_gradient_checkpointing:
            raise TrainingFailed(
                f"Models of type {inner.config.model_type} cannot compute activations again.",
                code="unsupported_option",
                param="training.activation_checkpointing",
            )
        inner.activation_checkpointing_enable(
            {"use_reentrant": False}, offload=wanted == "offload" and device.type == "cuda"
        )
    if config.compile:
        attention.register(is_compiled=True)
        for layer in layers(inner):
            layer.compile(dynamic=True)
