"""Loads a causal language model and chooses a runner that computes the same as the model."""

import logging
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from cluster.bases.four_bits import in_four_bits
from cluster.bases.pretrained import LOADING, check_complete, read_config
from cluster.contracts.errors import InvalidConfiguration, TuneryError
from cluster.serving.embedded.attention import implementation, parity_check_length, read_attention
from cluster.serving.embedded.batched import BatchedRunner
from cluster.serving.embedded.lora.adapted_model import AdaptedModel
from cluster.serving.embedded.parity_check import parity_error, tolerance
from cluster.serving.embedded.per_row import PerRowRunner
from cluster.serving.embedded.runner import ModelRunner
from cluster.serving.weights.packed_linear import has_bf16

_log = logging.getLogger(__name__)

_LACKS_ABILITY = (NotImplementedError, ValueError)
"""Exceptions that transformers and our own code raise for what a family cannot do. Any other error is
unexpected."""


def served_dtype(requested: str, device: torch.device, *, cpu_has_bf16: bool | None = None) -> torch.dtype:
    """Returns the type in which a base of type `requested` is computed: float32 on a CPU that would only
    emulate bfloat16, which is several times slower. `cpu_has_bf16`: None detects it for this CPU."""
    if device.type == "cpu" and requested == "bfloat16":
        is_able = has_bf16() if cpu_has_bf16 is None else cpu_has_bf16
        return torch.bfloat16 if is_able else torch.float32
    dtype: torch.dtype = getattr(torch, requested)
    return dtype


def load_model(folder: Path, *, dtype: str, device: torch.device, is_quantized: bool = False) -> Any:
    """Loads the transformers model in `folder`, frozen, in `served_dtype`. `is_quantized`: quantizes the
    weights to 4 bits and back, as QLoRA trains on them."""
    served, stored = served_dtype(dtype, device), getattr(torch, dtype)
    config = read_config(folder)
    with LOADING:
        model, loading = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=stored if is_quantized else served,
            attn_implementation=implementation(config.get_text_config()),
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            **(in_four_bits(config, stored, device) if is_quantized else {}),
        )
        check_complete(loading)
        if is_quantized:
            model = model.dequantize().to(served)
    return model.eval().requires_grad_(False).to(device)


def find_runner(model: AdaptedModel, *, max_rows: int, max_length: int) -> ModelRunner:
    """Returns the fastest runner that passes the parity check: batched, otherwise one row at a time,
    otherwise one whole prompt at a time.

    Raises InvalidConfiguration if none passes, CorruptArtefact if the model's numbers are not finite.
    """
    length = min(parity_check_length(model.config), max_length)
    attention = read_attention(model.config, model.dtype) if model.states else None
    if attention is not None and _passes_parity_check(
        BatchedRunner(model, attention, max_rows=2, max_length=length), model, length
    ):
        return BatchedRunner(model, attention, max_rows=max_rows, max_length=max_length)
    _log.warning("Models of type %s run one row at a time.", model.config.model_type)
    for continues in (True, False):
        if _passes_parity_check(PerRowRunner(model, continues=continues), model, length):
            return PerRowRunner(model, continues=continues)
    raise InvalidConfiguration(
        f"Models of type {model.config.model_type} cache past tokens in a way that this engine does not "
        "support."
    )


def _passes_parity_check(runner: ModelRunner, model: AdaptedModel, length: int) -> bool:
    try:
        error = parity_error(runner, model, length)
    except TuneryError:
        raise
    except _LACKS_ABILITY:
        _log.info("%s cannot run %s.", type(runner).__name__, model.config.model_type, exc_info=True)
        return False
    except Exception:
        # A slower runner that works must not hide that a faster one is broken.
        _log.exception("%s failed on %s.", type(runner).__name__, model.config.model_type)
        return False
    _log.info("%s on %s: error %.2g.", type(runner).__name__, model.config.model_type, error)
    return error <= tolerance(model.dtype)
