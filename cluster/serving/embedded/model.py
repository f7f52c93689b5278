"""Loads a causal language model and finds the way to run it that is right."""

import logging
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from cluster.bases.four_bits import in_four_bits
from cluster.bases.pretrained import LOADING, read_config
from cluster.contracts.errors import InvalidConfiguration, TuneryError
from cluster.serving.embedded.attention import implementation, parity_check_length, read_attention
from cluster.serving.embedded.batched import BatchedRunner
from cluster.serving.embedded.lora.adapted_model import AdaptedModel
from cluster.serving.embedded.parity_check import parity_error, tolerance
from cluster.serving.embedded.per_row import PerRowRunner
from cluster.serving.embedded.runner import ModelRunner
from cluster.serving.weights.packed_linear import has_bf16

_log = logging.getLogger(__name__)


def served_dtype(asked: str, device: torch.device, *, cpu_has_bf16: bool | None = None) -> torch.dtype:
    """What a base that asks for a type is computed in: float32 where a CPU would only imitate bfloat16, which
    is several times slower. `cpu_has_bf16`: None is what this CPU has."""
    if device.type == "cpu" and asked == "bfloat16":
        is_able = has_bf16() if cpu_has_bf16 is None else cpu_has_bf16
        return torch.bfloat16 if is_able else torch.float32
    dtype: torch.dtype = getattr(torch, asked)
    return dtype


def load_model(folder: Path, *, dtype: str, device: torch.device, is_quantized: bool = False) -> Any:
    """The transformers model in `folder`, frozen, in `served_dtype`. `is_quantized`: with weights that went
    through 4 bits, as QLoRA trains on them."""
    served, stored = served_dtype(dtype, device), getattr(torch, dtype)
    config = read_config(folder)
    with LOADING:
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=stored if is_quantized else served,
            attn_implementation=implementation(config.get_text_config()),
            use_safetensors=True,
            local_files_only=True,
            **(in_four_bits(stored, device) if is_quantized else {}),
        )
        if is_quantized:
            model = model.dequantize().to(served)
    return model.eval().requires_grad_(False).to(device)


def find_runner(model: AdaptedModel, *, max_rows: int, max_length: int) -> ModelRunner:
    """The fastest runner that is shown to compute what the model does: all rows in one pass, or each alone.

    Raises InvalidConfiguration if neither does, CorruptArtefact if the model's numbers are not finite.
    """
    length = min(parity_check_length(model.config), max_length)
    attention = read_attention(model.config, model.dtype)
    if attention is not None and _passes_parity_check(
        BatchedRunner(model, attention, max_rows=2, max_length=length), model, length
    ):
        return BatchedRunner(model, attention, max_rows=max_rows, max_length=max_length)
    _log.warning("Models of type %s run one row at a time here.", model.config.model_type)
    if _passes_parity_check(PerRowRunner(model), model, length):
        return PerRowRunner(model)
    raise InvalidConfiguration(
        f"Models of type {model.config.model_type} keep what they have read in a way that this engine does "
        "not know."
    )


def _passes_parity_check(runner: ModelRunner, model: AdaptedModel, length: int) -> bool:
    try:
        error = parity_error(runner, model, length)
    except TuneryError:
        raise
    except Exception:
        _log.info("%s fails on %s.", type(runner).__name__, model.config.model_type, exc_info=True)
        return False
    _log.info("%s on %s: error %.2g.", type(runner).__name__, model.config.model_type, error)
    return error <= tolerance(model.dtype)
