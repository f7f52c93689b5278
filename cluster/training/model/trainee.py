"""The model that is trained: a base from disk with trainable parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from cluster.bases.four_bits import in_four_bits
from cluster.bases.lora_form import served_form
from cluster.bases.pretrained import read_config
from cluster.bases.towers import freeze_towers
from cluster.contracts.bases import BaseSpec, WeightsForm
from cluster.contracts.errors import InvalidConfiguration, TrainingFailed
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.contracts.peft_options import PREFIXES
from cluster.training.checkpoints.export import DTYPES
from cluster.training.data.batches import Layout
from cluster.training.data.dataset import Dataset
from cluster.training.heap import release_dropped_model
from cluster.training.loop.throughput import elements
from cluster.training.model import attention
from cluster.training.model.abilities import Abilities, blocks, cached, find_abilities
from cluster.training.model.adapters import attach
from cluster.training.model.compiling import compile_layers
from cluster.training.model.head import Head, causal_model
from cluster.training.model.pretrained import load_dequantized, load_pretrained
from cluster.training.model.sharded import load_parts
from cluster.training.parts import parts_aside
from cluster.training.world import World

CHECKPOINTED_PARAMETERS = 1_000_000_000
"""Number of parameters from which on `auto` recomputes activations on a GPU instead of keeping them."""


class ActivationCheckpointing(NamedTuple):
    """How activations are kept for the backward pass."""

    mode: Literal["none", "full", "offload"]
    note: str | None = None
    """A message to the job's owner."""


@dataclass(frozen=True, slots=True)
class Trainee:
    """A model that is ready to train, and how to run it."""

    model: Any
    """A transformers model, or PEFT's wrapper of one."""
    layout: Layout
    head: Head
    """Head of a causal model. An encoder's head is part of the model itself."""
    form: WeightsForm
    """The form in which its checkpoints are served."""
    notes: list[str]
    """Messages to the job's owner about deviations from the usual, and their reasons."""


def load_trainee(
    weights: Path,
    base: BaseSpec,
    config: TrainingConfig,
    device: torch.device,
    *,
    data: Dataset,
    total_steps: int,
    is_base: bool = True,
    world: World = World(),
) -> Trainee:
    """Loads the model in `weights`, ready to train on `data`.

    For adapters, the base's weights are frozen in its own type or in 4 bits, and the adapter is in fp32. For
    full fine-tuning, every weight is in fp32, because bf16 would round small updates away; `autocast`
    computes in the base's type. `is_base` is False if `weights` are not the catalogue's own: an adapter on
    them is not an adapter of the base.

    In a sharded world, each worker loads its own part of a causal model's weights, which `World.shard` then
    expects. All workers call this together.

    Raises InvalidConfiguration if the model cannot be run, and TrainingFailed if the adapter does not fit it.
    """
    notes: list[str] = []
    kinds: dict[str, str] = {}
    layout: Layout = "masked"
    head = Head()
    if base.architecture == "encoder":
        model, task = load_encoder(weights, base, config, data)
        model = model.to(device)
    else:
        is_prefixed = config.peft_type in PREFIXES
        found = world.agreed(
            partial(_abilities, weights, base, config, device, is_prefixed=is_prefixed, is_base=is_base)
        )
        layout, kinds, notes = found.layout, found.kinds, list(found.notes)
        head = Head(is_apart=found.is_head_apart and not is_prefixed)
        model, task = load_decoder(weights, base, config, device, world=world), "CAUSAL_LM"
        check_vocabulary(model, int(data.token_ids.max()))
        attention.register()
        model.set_attn_implementation(found.attention)
    form: WeightsForm = "full"
    if config.type != "full":
        with parts_aside(model):
            adapted = attach(model, base, config, total_steps=total_steps, task=task)
        model = adapted
        if kinds and is_base:
            form = adapted_form(model, kinds)
            if form == "lora" and is_served_quantized(base, config):
                form = "qlora"
        if form == "full":
            notes.append(
                "The tuned model is served as a model of its own: the adapter is merged into the base."
            )
    checkpointing = resolve_activation_checkpointing(model, config, device)
    if checkpointing.note is not None:
        notes.append(checkpointing.note)
    save_memory(model, checkpointing.mode, device)
    if config.compile:
        compile_layers(layers(causal_model(model)), device, is_checkpointed=checkpointing.mode != "none")
    return Trainee(model, layout, head, form, notes)


def load_decoder(
    weights: Path,
    base: BaseSpec,
    config: TrainingConfig,
    device: torch.device,
    *,
    world: World = World(),
    model_config: Any = None,
) -> Any:
    """Loads a causal model without adapters onto the device; in a sharded world, this worker's part of it.
    `model_config` is a configuration that replaces the folder's."""
    # Imported here because it takes seconds, and only processes that train need it.
    from transformers import AutoModelForCausalLM

    dtype = torch.float32 if config.type == "full" else DTYPES[base.dtype]
    if world.is_sharded:
        model = load_parts(AutoModelForCausalLM, weights, dtype, world.mesh(device))
    else:
        options = {} if model_config is None else {"config": model_config}
        if config.type == "qlora":
            options |= in_four_bits(model_config or read_config(weights), dtype, device)
        model = load_pretrained(AutoModelForCausalLM, weights, dtype, **options).to(device)
    model.config.use_cache = False
    freeze_towers(model)
    if config.type == "qlora":
        _keep_packing(model)
    return model


def load_merge_base(
    weights: Path, base: BaseSpec, config: TrainingConfig, data: Dataset, *, is_quantized: bool
) -> Any:
    """Loads the model into which an adapter is merged: the one in `weights`, in the base's type. If the files
    have that type, they are memory-mapped. With `is_quantized`, its weights are rounded to 4 bits and
    dequantized."""
    if is_quantized:
        from transformers import AutoModelForCausalLM

        return load_dequantized(AutoModelForCausalLM, weights, DTYPES[base.dtype], torch.device("cpu"))
    frozen = config.model_copy(update={"type": "lora"})
    if base.architecture == "encoder":
        return load_encoder(weights, base, frozen, data)[0]
    return load_decoder(weights, base, frozen, torch.device("cpu"))


def load_encoder(weights: Path, base: BaseSpec, config: TrainingConfig, data: Dataset) -> tuple[Any, str]:
    """Loads an encoder with a head for the classes of `data`, and returns it with PEFT's name of its task. A
    new head's initial values depend only on the seed."""
    from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

    kind = AutoModelForTokenClassification if data.is_per_token else AutoModelForSequenceClassification
    torch.manual_seed(config.seed)
    model = load_pretrained(
        kind,
        weights,
        torch.float32 if config.type == "full" else DTYPES[base.dtype],
        has_new_parts=True,
        num_labels=len(data.class_names),
        id2label=dict(enumerate(data.class_names)),
        label2id={name: number for number, name in enumerate(data.class_names)},
    )
    return model, "TOKEN_CLS" if data.is_per_token else "SEQ_CLS"


def is_served_quantized(base: BaseSpec, config: TrainingConfig) -> bool:
    """Whether the tuned model is served on the same quantized weights on which it is trained."""
    return config.type == "qlora" and base.qlora_served_on == "four_bits"


def adapted_form(model: Any, kinds: Mapping[str, str]) -> WeightsForm:
    """Returns the form in which an adapter on a base is served. `model` is PEFT's wrapper; `kinds` are the
    kinds of the base's layers by name."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapted = {
        name: kinds.get(name, type(module).__name__)
        for name, module in causal_model(model).named_modules()
        if isinstance(module, BaseTunerLayer)
    }
    return served_form(model.peft_config["default"].to_dict(), adapted)


def trainable_parameters(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Returns the trainable parameters by name, in the model's own order. A tied weight appears once."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def autocast(base: BaseSpec, device: torch.device) -> torch.autocast:
    """Makes a context that computes in the base's type. Does nothing for a base in fp32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=base.dtype == "bfloat16")


def check_vocabulary(model: Any, highest_token: int) -> None:
    """Raises InvalidConfiguration if the tokenizer produces tokens for which the model has no embedding."""
    rows = model.get_input_embeddings().weight.shape[0]
    if highest_token >= rows:
        raise InvalidConfiguration(
            f"The tokenizer produces token {highest_token}, but the model's vocabulary has {rows} tokens; "
            "the base's tokenizer and weights do not belong together."
        )


def layers(model: Any) -> list[torch.nn.Module]:
    """Returns the repeated blocks of a transformers model."""
    return blocks(model)[1]


def _abilities(
    weights: Path,
    base: BaseSpec,
    config: TrainingConfig,
    device: torch.device,
    *,
    is_prefixed: bool,
    is_base: bool,
) -> Abilities:
    packing = config.packing and not is_prefixed

    def find() -> Abilities:
        found = find_abilities(
            weights,
            lambda cut: load_decoder(weights, base, config, device, model_config=cut),
            partial(autocast, base, device),
            packing=packing,
        )
        release_dropped_model(device)
        return found

    if not is_base:
        return find()
    return cached(find, weights, device, base.dtype, config.type, "packed" if packing else "padded")


def _keep_packing(model: Any) -> None:
    """Keeps bitsandbytes from repacking weights with coarser scales when they are first evaluated on some
    CPUs: the model would then differ before and after the first evaluation."""
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def resolve_activation_checkpointing(
    model: Any, config: TrainingConfig, device: torch.device
) -> ActivationCheckpointing:
    """Resolves `activation_checkpointing` for this model. Only a worker can resolve "auto": it depends on the
    number of parameters, on the device, and on what the model's family supports.

    Raises TrainingFailed if the configuration demands what the family does not support.
    """
    inner = causal_model(model)
    wanted = config.activation_checkpointing
    if wanted == "auto":
        is_large = sum(map(elements, model.parameters())) >= CHECKPOINTED_PARAMETERS
        if not is_large or device.type != "cuda":
            return ActivationCheckpointing("none")
        # Recomputing activations would discard the keys and values that prefix tuning learns.
        if not inner.supports_gradient_checkpointing or config.peft_type == "PREFIX_TUNING":
            return ActivationCheckpointing(
                "none", "Activations are kept: this model cannot compute them again."
            )
        return ActivationCheckpointing("full")
    if wanted != "none" and not inner.supports_gradient_checkpointing:
        raise TrainingFailed(
            f"Models of type {inner.config.model_type} cannot compute activations again.",
            code="unsupported_option",
            param="training.activation_checkpointing",
        )
    return ActivationCheckpointing(wanted)


def save_memory(model: Any, mode: str, device: torch.device) -> None:
    """Makes the model keep activations as `ActivationCheckpointing.mode` says."""
    if mode == "none":
        return
    inner, options = causal_model(model), {"use_reentrant": False}
    if hasattr(inner, "activation_checkpointing_enable"):
        inner.activation_checkpointing_enable(options, offload=mode == "offload" and device.type == "cuda")
    else:  # transformers before 5.23, which cannot offload.
        inner.gradient_checkpointing_enable(options)
