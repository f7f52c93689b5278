"""Suggests the catalogue entry of a model from its configuration."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from cluster.bases.configs import read_config
from cluster.contracts.bases import BaseSpec, FolderSource, HubSource, TrainingType
from cluster.contracts.errors import InvalidConfiguration

_CONTEXTS = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length")
_ALIAS = re.compile(r"[A-Za-z0-9._-]+")
_ENCODERS = re.compile(r"bert|electra|mpnet", re.IGNORECASE)
_PADDED_POSITIONS = {
    "camembert",
    "data2vec-text",
    "ibert",
    "longformer",
    "luke",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
}
"""Families whose first token has the position after `pad_token_id`, which is 1 by default. The rows before it
in their position table are not used by any token."""
_RATES: tuple[tuple[float, dict[TrainingType, float]], ...] = (
    (1.5e9, {"lora": 4e-4, "full": 4e-5}),
    (15e9, {"lora": 2e-4, "full": 2e-5}),
    (math.inf, {"lora": 1e-4, "full": 1e-5}),
)
"""Learning rates of decoders with up to this many parameters: those that QLoRA's authors used for adapters at
these sizes, and a tenth of them for full fine-tuning."""
_ENCODER_RATES: dict[TrainingType, float] = {"lora": 3e-4, "full": 3e-5}


def suggest_base(
    source: FolderSource | HubSource,
    folder: Path,
    parameters: int,
    *,
    alias: str | None = None,
    context_length: int | None = None,
    created: int = 0,
) -> BaseSpec:
    """Returns the entry for the model whose configuration is in `folder`. `parameters` is the number of its
    weights. `alias` and `context_length` replace what the model itself says. `created` is in Unix seconds.

    Raises InvalidConfiguration if the configuration cannot be read, or does not give the length of the
    context."""
    config = read_config(folder)
    text = {**config, **(config.get("text_config") or {})}
    own = _own_context(text)
    if context_length is not None and own is not None and context_length > own:
        raise InvalidConfiguration(f"--context is {context_length}, but the model has {own} positions.")
    context = context_length or own
    if context is None:
        raise InvalidConfiguration(
            "The model's config.json does not say how long its context is: it has none of "
            f"{', '.join(_CONTEXTS)}. Give --context."
        )
    encodes = is_encoder(config)
    if alias is not None and not _ALIAS.fullmatch(alias):
        raise InvalidConfiguration(f"The alias {alias!r} may only have letters, digits, '.', '_' and '-'.")
    return BaseSpec(
        alias=alias or alias_of(source),
        source=source,
        context_length=context,
        learning_rates=_ENCODER_RATES if encodes else _rates(parameters),
        architecture="encoder" if encodes else "decoder",
        dtype=_dtype(text),
        owned_by=source.repository.split("/")[0] if isinstance(source, HubSource) else "tunery",
        created=created,
    )


def is_encoder(config: Mapping[str, Any]) -> bool:
    """Whether a model with these fields of `config.json` reads whole texts and does not continue them."""
    named = " ".join(config.get("architectures") or [str(config.get("model_type", ""))])
    return bool(_ENCODERS.search(named)) and not re.search("CausalLM|LMHead", named)


def alias_of(source: FolderSource | HubSource) -> str:
    """Returns the repository's or the folder's own name, reduced to the characters that an alias may have."""
    name = source.repository.rpartition("/")[2] if isinstance(source, HubSource) else Path(source.path).name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-").lower() or "model"


def _own_context(config: Mapping[str, Any]) -> int | None:
    size = next((int(config[name]) for name in _CONTEXTS if _is_size(config.get(name))), None)
    if size is None or config.get("model_type") not in _PADDED_POSITIONS:
        return size
    padding = config.get("pad_token_id")
    return size - (1 if padding is None else int(padding)) - 1


def _dtype(config: Mapping[str, Any]) -> Literal["float32", "bfloat16"]:
    """Returns the type. Weights that were saved in 16 bits or fewer are used in 16."""
    return "float32" if config.get("dtype", config.get("torch_dtype", "float32")) == "float32" else "bfloat16"


def _rates(parameters: int) -> dict[TrainingType, float]:
    return next(rates for limit, rates in _RATES if parameters <= limit)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and value > 0
