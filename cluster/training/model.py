"""The model that is trained: a base from disk, and on it the parameters that learn."""

from pathlib import Path
from typing import Any

import torch

from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import InvalidConfiguration, TrainingFailed
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.training.losses import head_logits

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load_model(folder: Path, base: BaseSpec, config: TrainingConfig, device: torch.device) -> Any:
    """The model in `folder`, ready to train: a transformers model, or PEFT's wrapper of one.

    LoRA: weights frozen in the base's own type, adapters in fp32 (their first values depend on the
    configuration's seed alone). Full: every weight in fp32, because bf16 weights round small updates away;
    `autocast` computes in the base's type. Raises InvalidConfiguration if the model is of a family that the
    loss does not know, TrainingFailed if LoRA does not fit it.
    """
    # Here, because the import takes seconds and only the process that trains needs it.
    from transformers import AutoModelForCausalLM

    is_full = config.type == "full"
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=torch.float32 if is_full else DTYPES[base.dtype],
        trust_remote_code=False,
        use_safetensors=True,
        local_files_only=True,
        attn_implementation="sdpa",
    ).to(device)
    model.config.use_cache = False
    _check_head(model, device)
    return model if is_full else _with_lora(model, base, config)


def causal_model(model: Any) -> Any:
    """The transformers model inside; LoRA layers are part of it and of its forward."""
    return model.get_base_model() if hasattr(model, "peft_config") else model


def trainable_parameters(model: Any) -> dict[str, torch.nn.Parameter]:
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


def _with_lora(model: Any, base: BaseSpec, config: TrainingConfig) -> Any:
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(
        r=config.r,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=config.target_modules,
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(config.seed)
    try:
        adapted = get_peft_model(model, lora)
    except ValueError as error:
        raise _bad_targets(f"LoRA cannot be attached: {error}") from error
    # PEFT writes the folder there, which means nothing on another machine.
    lora.base_model_name_or_path = base.alias
    if any(
        hasattr(module, "lora_A") for module in (model.get_input_embeddings(), model.get_output_embeddings())
    ):
        raise _bad_targets("LoRA on the embeddings or the language-model head is not supported.")
    return adapted


def _bad_targets(message: str) -> TrainingFailed:
    return TrainingFailed(message, code="invalid_target_modules", param="training.target_modules")


@torch.no_grad()
def _check_head(model: Any, device: torch.device) -> None:
    """The loss applies the head by itself; this proves that it does so as the model's own forward does."""
    token_ids = torch.tensor([[0, 1, 2]], device=device)
    model.eval()
    expected = model(input_ids=token_ids, use_cache=False).logits[0]
    hidden = model.get_decoder()(input_ids=token_ids, use_cache=False).last_hidden_state[0]
    if not torch.allclose(head_logits(model, hidden), expected.float(), rtol=1e-2, atol=1e-3):
        raise InvalidConfiguration(
            f"Models of type {model.config.model_type} compute their output in a way that training does not "
            "know."
        )
