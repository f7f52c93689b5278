"""Loads a causal language model and finds the way to run it that is right."""

import logging
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from cluster.contracts.errors import InvalidConfiguration, TuneryError
from cluster.serving.adapted_model import AdaptedModel
from cluster.serving.attention import implementation, proof_length, read_attention
from cluster.serving.joint import JointRunner
from cluster.serving.loading import ONE_AT_A_TIME
from cluster.serving.proof import error_of, tolerance
from cluster.serving.runner import Runner
from cluster.serving.solo import SoloRunner

_log = logging.getLogger(__name__)


def load_model(folder: Path, *, dtype: str, device: torch.device) -> Any:
    """The transformers model in `folder`, frozen."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    with ONE_AT_A_TIME:
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            attn_implementation=implementation(config.get_text_config()),
            use_safetensors=True,
            local_files_only=True,
        )
    return model.eval().requires_grad_(False).to(device)


def find_runner(model: AdaptedModel, *, max_rows: int, max_length: int) -> Runner:
    """The fastest runner that is shown to compute what the model does: all rows in one pass, or each alone.

    Raises InvalidConfiguration if neither does, CorruptArtefact if the model's numbers are not finite.
    """
    length = min(proof_length(model.config), max_length)
    attention = read_attention(model.config, model.dtype)
    if attention is not None and _is_right(
        JointRunner(model, attention, max_rows=2, max_length=length), model, length
    ):
        return JointRunner(model, attention, max_rows=max_rows, max_length=max_length)
    _log.warning("Models of type %s run one row at a time here.", model.config.model_type)
    if _is_right(SoloRunner(model), model, length):
        return SoloRunner(model)
    raise InvalidConfiguration(
        f"Models of type {model.config.model_type} keep what they have read in a way that this engine does "
        "not know."
    )


def _is_right(runner: Runner, model: AdaptedModel, length: int) -> bool:
    try:
        error = error_of(runner, model, length)
    except TuneryError:
        raise
    except Exception:
        _log.info("%s fails on %s.", type(runner).__name__, model.config.model_type, exc_info=True)
        return False
    _log.info("%s on %s: error %.2g.", type(runner).__name__, model.config.model_type, error)
    return error <= tolerance(model.dtype)
