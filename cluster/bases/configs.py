"""Reads the `config.json` of a base, without its weights."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster.bases.resolve import local_folder
from cluster.contracts.bases import BaseSpec, HubSource
from cluster.contracts.errors import InvalidConfiguration


def read_config(folder: Path) -> dict[str, Any]:
    """Raises InvalidConfiguration if there is none, or none that can be read."""
    try:
        found = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidConfiguration(
            f"The config.json of {folder.name} cannot be read: {type(error).__name__}.",
            param="TUNERY_CATALOGUE",
        ) from error
    if not isinstance(found, dict):
        raise InvalidConfiguration(
            f"The config.json of {folder.name} is not a JSON object.", param="TUNERY_CATALOGUE"
        )
    return found


def config_here(spec: BaseSpec) -> dict[str, Any] | None:
    """The configuration of a base that is on this machine, without a network; None if it is not there or
    cannot be read."""
    try:
        folder = _hub_folder(spec.source) if isinstance(spec.source, HubSource) else local_folder(spec.source)
        return None if folder is None else read_config(folder)
    except InvalidConfiguration:
        return None


def why_not_trained(config: Mapping[str, Any]) -> str | None:
    """Why a model with these fields of `config.json` can only be served; None if it can be trained, too.

    No update can be added to weights in 8 or 4 bits. QLoRA makes such weights itself, from whole ones."""
    quantized = config.get("quantization_config")
    if not quantized:
        return None
    kind = quantized.get("quant_method") if isinstance(quantized, Mapping) else None
    return (
        f"its weights are stored quantized ({kind or 'in an unknown way'}), and training needs them in 16 or "
        "32 bits; load them with transformers, save the result of the model's dequantize(), and add that "
        "folder"
    )


def _hub_folder(source: HubSource) -> Path | None:
    # Imported here because only hub models need it.
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(source.repository, "config.json", revision=source.revision)
    return Path(found).parent if isinstance(found, str) else None
