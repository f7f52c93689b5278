"""Checks that a base can work at all: transformers knows its configuration, and its files hold the weights
that the configuration describes. Of the files, only headers are read."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from cluster.bases.configs import read_config as read_fields
from cluster.bases.configs import why_not_trained
from cluster.bases.layers import StoredTensor, stored_tensors
from cluster.bases.pretrained import LOADING, read_config
from cluster.bases.resolve import folder_here, not_available
from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import MODEL_NOT_AVAILABLE, InvalidConfiguration

_NUMBERS = {"F64", "F32", "F16", "BF16"}
_SHOWN = 3


def check_trainable(spec: BaseSpec, folder: Path) -> None:
    """Raises InvalidConfiguration (`model_not_available`) if no job can train the base in `folder`."""
    try:
        problem = why_not_trained(read_fields(folder))
    except InvalidConfiguration as error:
        problem = error.message.rstrip(".")
    if problem := problem or why_unusable(spec, folder):
        raise InvalidConfiguration(
            f"The base model '{spec.alias}' cannot be trained: {problem}. The operator of this server must "
            "mend that.",
            code=MODEL_NOT_AVAILABLE,
            param="model",
        )


def check_usable(spec: BaseSpec, folder: Path) -> None:
    """Raises Unavailable (`model_not_available`) if no engine can load the base in `folder`."""
    if problem := why_unusable(spec, folder):
        raise not_available(spec, problem)


def why_unusable_here(spec: BaseSpec) -> str | None:
    """Returns what `check_usable` would say about a base that is on this machine. None if it can be used, or
    is not here. Contacts no one."""
    folder = folder_here(spec)
    problem = None if folder is None else why_unusable(spec, folder)
    return problem and not_available(spec, problem).message


def why_unusable(spec: BaseSpec, folder: Path) -> str | None:
    """Returns why transformers cannot load the base in `folder`; None if it can. If the weights are not there
    yet, the hub is asked for their headers. Raises Unavailable if it does not answer."""
    try:
        tensors = stored_tensors(spec, folder)
        changed_at = (folder / "config.json").stat().st_mtime_ns
        return _misfit(folder, spec.architecture == "encoder", tuple(tensors.items()), changed_at)
    except InvalidConfiguration as error:
        return error.message.rstrip(".")
    except OSError as error:
        return f"its config.json cannot be read ({type(error).__name__})"


@lru_cache(maxsize=64)
def _misfit(
    folder: Path, is_encoder: bool, tensors: tuple[tuple[str, StoredTensor], ...], _changed_at: int
) -> str | None:
    config = read_config(folder)
    if getattr(config, "quantization_config", None):
        return None  # Its files have other tensors than its model has weights.
    for name, tensor in tensors:
        if tensor.dtype not in _NUMBERS and name.endswith(".weight"):
            return (
                f"its files have {name} as {tensor.dtype}, and its config.json does not say what that means"
            )
    try:
        loading = _load_without_weights(config, is_encoder, {name: tensor.shape for name, tensor in tensors})
    except Exception as error:
        return f"transformers cannot make a model of its config.json ({type(error).__name__})"
    if wrong := sorted(loading["mismatched_keys"]):
        name, found, described = wrong[0]
        more = _more(len(wrong) - 1)
        return f"its files have {name} as {tuple(found)}, and its config.json as {tuple(described)}{more}"
    # Encoders get new heads, and are published with different ones.
    if not is_encoder and (missing := sorted(loading["missing_keys"])):
        return f"its files lack {', '.join(missing[:_SHOWN])}{_more(len(missing) - _SHOWN)}"
    return None


def _load_without_weights(config: Any, is_encoder: bool, shapes: Mapping[str, tuple[int, ...]]) -> Any:
    """Returns what transformers' own loading finds in files with such tensors. It knows the names in files of
    older versions, and joins experts that are stored separately. Nothing takes memory."""
    import torch
    from transformers import AutoModel, AutoModelForCausalLM
    from transformers.utils import logging

    kind = AutoModel if is_encoder else AutoModelForCausalLM
    with LOADING:
        logging.disable_progress_bar()  # It would say that weights are being loaded.
        with torch.device("meta"):
            family = type(kind.from_config(config))
        return family.from_pretrained(
            None,
            config=config,
            state_dict={name: torch.empty(shape, device="meta") for name, shape in shapes.items()},
            device_map={"": "meta"},
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )[1]


def _more(count: int) -> str:
    return f", and {count} more" if count > 0 else ""
