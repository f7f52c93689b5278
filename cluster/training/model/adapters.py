"""Attaches PEFT adapters to a frozen model, as a training configuration describes them."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from cluster.bases.bypassed import bypassed_layers
from cluster.bases.towers import layers_outside_text
from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import TrainingFailed
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.contracts.peft_options import ALLOWED

_ON_BASE = ("pissa", "olora")
"""Initialisations that derive the adapter's first values from the base's weights."""

_OWN_TARGETS = ("IA3", "LN_TUNING")
"""Methods for which PEFT knows the usual target layers of each family. Other methods adapt every linear
layer."""

_HEADS = ["classifier", "score"]
"""An encoder's classification heads, which PEFT trains in full."""


def attach(
    model: Any, base: BaseSpec, config: TrainingConfig, *, total_steps: int, task: str = "CAUSAL_LM"
) -> Any:
    """Wraps `model` in PEFT and freezes its own weights. Adapters are in fp32, and their initial values
    depend only on the configuration's seed.

    Raises TrainingFailed if the adapter does not fit the model.
    """
    from peft import get_peft_model
    from transformers.pytorch_utils import Conv1D

    torch.manual_seed(config.seed)
    try:
        described = peft_config(config, total_steps=total_steps, task=task)
        if hasattr(described, "fan_in_fan_out"):
            # GPT-2's layers store their weights transposed.
            described.fan_in_fan_out = any(isinstance(module, Conv1D) for module in model.modules())
        bypassed = bypassed_layers(model)
        is_all = getattr(described, "target_modules", None) == "all-linear"
        if spared := layers_outside_text(model) | (bypassed if is_all else frozenset()):
            _spare(described, spared, model)
        adapted = get_peft_model(model, described)
    except (torch.OutOfMemoryError, torch.AcceleratorError):
        # These are RuntimeErrors that say nothing about the adapter.
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, ZeroDivisionError) as error:
        param = "training.target_modules" if config.peft_config is None else "training.peft_config"
        raise TrainingFailed(
            f"The adapter cannot be attached to {base.alias}: {error}",
            code="invalid_target_modules" if "target" in str(error) else "invalid_adapter",
            param=param,
        ) from error
    for parameter in adapted.parameters():
        # This includes what PEFT leaves in the base's type, such as norms and classification heads.
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    # PEFT puts the local folder here, which means nothing on another machine.
    described.base_model_name_or_path = base.alias
    _refuse_outer_layers(model)
    _refuse_bypassed_layers(model, bypassed)
    return adapted


@contextmanager
def without_adapter(model: Any) -> Iterator[None]:
    """Within the context, PEFT's wrapper computes as the model without its adapter does. The same parameters
    stay trainable."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with model.disable_adapter():
        # PEFT freezes the adapter's parameters. FSDP looks only at trainable parameters when it decides, in
        # the first pass, in which type it adds up gradients, and this may be that pass
        # (https://github.com/pytorch/pytorch/issues/186998).
        for parameter in trainable:
            parameter.requires_grad_(True)
        yield


def changes_base(config: TrainingConfig) -> bool:
    """Whether `attach` changes the model's own weights, so that the model is not the base even without its
    adapter."""
    return (config.peft_config or {}).get("init_lora_weights") in _ON_BASE


def trains_base(config: TrainingConfig) -> bool:
    """Whether some of the model's own weights are trained, so that switching the adapter off does not undo
    it."""
    return config.type == "full" or (config.peft_config or {}).get("bias", "none") != "none"


def peft_config(config: TrainingConfig, *, total_steps: int, task: str) -> Any:
    """Makes PEFT's configuration object. Raises ValueError or TypeError for values that PEFT refuses."""
    from peft import LoraConfig, PeftType
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    if config.peft_config is None:
        return LoraConfig(
            r=config.r,
            lora_alpha=config.alpha,
            lora_dropout=config.dropout,
            target_modules=config.target_modules,
            use_rslora=config.use_rslora,
            use_dora=config.use_dora,
            exclude_modules=None if task == "CAUSAL_LM" else _HEADS,
            task_type=task,
        )
    options = dict(config.peft_config)
    method = options.pop("peft_type")
    if "target_modules" in ALLOWED[method] and method not in _OWN_TARGETS:
        options.setdefault("target_modules", "all-linear")
    if "exclude_modules" in ALLOWED[method] and task != "CAUSAL_LM":
        options.setdefault("exclude_modules", _HEADS)
    if method == "ADALORA":
        options["total_step"] = total_steps
    return PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(method)](task_type=task, **options)


def _spare(described: Any, spared: frozenset[str], model: Any) -> None:
    """Leaves the spared layers out of those that are adapted."""
    from transformers.pytorch_utils import Conv1D

    if hasattr(described, "exclude_modules"):
        described.exclude_modules = {*(described.exclude_modules or ()), *spared}
        return
    targets, head = getattr(described, "target_modules", None), model.get_output_embeddings()
    if targets is None:
        return
    described.target_modules = {
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D)
        and name not in spared
        and (module is not head if targets == "all-linear" else _is_named(name, targets))
    }


def _is_named(name: str, targets: Collection[str]) -> bool:
    return any(name == target or name.endswith(f".{target}") for target in targets)


def _refuse_outer_layers(model: Any) -> None:
    """Refuses adapters on embeddings and head. The two often share one tied weight, which an adapter would
    change in two different ways."""
    if any(map(_is_adapted, (model.get_input_embeddings(), model.get_output_embeddings()))):
        raise _invalid_target("Adapters on the embeddings or the language-model head are not supported.")


def _refuse_bypassed_layers(model: Any, bypassed: frozenset[str]) -> None:
    for name in sorted(bypassed):
        if _is_adapted(model.get_submodule(name)):
            raise _invalid_target(
                f"An adapter on {name} would learn nothing: models of type {model.config.model_type} compute "
                "with its weight without calling the layer."
            )


def _is_adapted(module: Any) -> bool:
    from peft.tuners.tuners_utils import BaseTunerLayer

    return isinstance(module, BaseTunerLayer)


def _invalid_target(message: str) -> TrainingFailed:
    return TrainingFailed(message, code="invalid_target_modules", param="training.target_modules")
