"""Reads what the folder of a base says about it, without its weights."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster.bases import hub
from cluster.bases.resolve import ask_hub, local_folder
from cluster.contracts.bases import BaseSpec, HubSource
from cluster.contracts.errors import InvalidConfiguration

_INDEX = "model.safetensors.index.json"
_ALONE = "model.safetensors"


def read_config(folder: Path) -> dict[str, Any]:
    """Reads the configuration. Raises InvalidConfiguration if there is none, or it cannot be read."""
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
    """Returns the configuration of a base that is on this machine, without a network. None if it is not there
    or cannot be read."""
    try:
        folder = _folder_here(spec)
        return None if folder is None else read_config(folder)
    except InvalidConfiguration:
        return None


def is_quantized(config: Mapping[str, Any]) -> bool:
    """Whether the weights are stored in 8 or 4 bits, with these fields of `config.json`."""
    return bool(config.get("quantization_config"))


def stored_bytes_here(spec: BaseSpec) -> int | None:
    """Returns the bytes that the weights of a base take in its files, as far as this machine knows without a
    network: from their index, which is downloaded without them, or from the files themselves. None if neither
    is here."""
    folder = _folder_here(spec)
    # The index comes first, because it gives the same number before and after the files arrive, which also
    # have headers.
    return None if folder is None else _indexed_bytes(folder) or _bytes_of_files(folder)


def stored_bytes(spec: BaseSpec) -> int | None:
    """Like `stored_bytes_here`, and gives the same number whether or not the weights of a hub model are
    already here. Raises Unavailable (`model_not_available`) if the hub is needed and does not answer."""
    if (known := stored_bytes_here(spec)) is not None or not isinstance(spec.source, HubSource):
        return known
    sizes = ask_hub(spec, spec.source, hub.weight_sizes)
    return sizes.get(_ALONE) or sum(sizes.values()) or None


def weight_files(folder: Path) -> list[Path]:
    """Returns the files that transformers loads. A folder may also hold the same weights in another format.
    Raises OSError, ValueError or KeyError if the index cannot be read."""
    index, alone = folder / _INDEX, folder / _ALONE
    if index.exists():
        return [folder / name for name in sorted(set(json.loads(index.read_bytes())["weight_map"].values()))]
    return [alone] if alone.exists() else sorted(folder.glob("*.safetensors"))


def why_not_trained(config: Mapping[str, Any]) -> str | None:
    """Returns why a model with these fields of `config.json` can only be served; None if it can also be
    trained.

    No update can be added to weights in 8 or 4 bits. QLoRA makes such weights itself, from unquantized
    ones."""
    if not is_quantized(config):
        return None
    quantized = config["quantization_config"]
    kind = quantized.get("quant_method") if isinstance(quantized, Mapping) else None
    return (
        f"its weights are stored quantized ({kind or 'in an unknown way'}), and training needs them in 16 or "
        "32 bits; load them with transformers, save the result of the model's dequantize(), and add that "
        "folder"
    )


def _folder_here(spec: BaseSpec) -> Path | None:
    """Returns the folder of the base's configuration; None for a hub model of which nothing is here."""
    return _hub_folder(spec.source) if isinstance(spec.source, HubSource) else local_folder(spec.source)


def _indexed_bytes(folder: Path) -> int | None:
    try:
        found = json.loads((folder / _INDEX).read_bytes())["metadata"]["total_size"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return int(found) if isinstance(found, int | float) and found > 0 else None


def _bytes_of_files(folder: Path) -> int | None:
    try:
        return sum(file.stat().st_size for file in weight_files(folder)) or None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _hub_folder(source: HubSource) -> Path | None:
    # Imported here because only hub models need it.
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(source.repository, "config.json", revision=source.revision)
    return Path(found).parent if isinstance(found, str) else None
