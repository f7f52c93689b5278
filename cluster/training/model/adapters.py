"""Attaches PEFT adapters to a frozen model, as a training configuration describes them."""

from typing import Any

import torch

from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import TrainingFailed
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.contracts.peft_options import ALLOWED

_OWN_TARGETS = ("IA3", "LN_TUNING")
"""Methods for which PEFT knows the usual layers of each family. The others adapt every linear layer."""

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
        adapted = get_peft_model(model, described)
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, ZeroDivisionError) as error:
        param = "training.target_modules" if config.peft_config is None else "training.peft_config"
        raise TrainingFailed(
            f"The adapter cannot be attached to {base.alias}: {error}",
            code="invalid_target_modules" if "target" in str(error) else "invalid_adapter",
            param=param,
        ) from error
    for parameter in adapted.parameters():
        # Including what PEFT leaves in the base's type, such as norms and classification heads.
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    # PEFT puts the local folder here, which means nothing on another machine.
    described.base_model_name_or_path = base.alias
    _refuse_outer_layers(model)
    return adapted


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


def _refuse_outer_layers(model: Any) -> None:
    """Refuses adapters on embeddings and head: they are often one tied weight, which an adapter would change
    in two different ways."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    if any(
        isinstance(module, BaseTunerLayer)
        for module in (model.get_input_embeddings(), model.get_output_embeddings())
    ):
        raise TrainingFailed(
            "Adapters on the embeddings or the language-model head are not supported.",
            code="invalid_target_modules",
            param="training.target_modules",
        )
