"""How an encoder base pools the vectors of a text into one, according to its sentence-transformers files."""

import json
from pathlib import Path
from typing import Any, Literal

from cluster.contracts.errors import InvalidConfiguration

Pooling = Literal["mean", "cls"]
"""The mean over all of a text's tokens, special tokens included, or the vector of the first token."""

_PARTS = {"Transformer", "Pooling", "Normalize"}


def read_pooling(folder: Path) -> Pooling:
    """Returns the pooling of the base in `folder`: "mean", unless `modules.json` and the configuration of its
    Pooling module say "cls".

    Raises InvalidConfiguration for a base with any other pooling, because its vectors would not be the
    model's own. A Normalize module makes no difference: vectors are always scaled to length 1."""
    if not (folder / "modules.json").exists():
        return "mean"
    modules = _read(folder, "modules.json")
    try:
        paths = {str(module["type"]).rpartition(".")[2]: str(module["path"]) for module in modules}
    except (TypeError, KeyError) as error:
        raise _unusable(folder, "modules.json is no list of modules with 'type' and 'path'") from error
    if others := sorted(paths.keys() - _PARTS):
        raise _unusable(folder, f"modules.json names {', '.join(others)}, which is not supported")
    return _mode(folder, paths["Pooling"]) if "Pooling" in paths else "mean"


def _mode(folder: Path, path: str) -> Pooling:
    if not path or Path(path).name != path or path == "..":
        raise _unusable(
            folder, f"modules.json looks for Pooling in {path!r}, which is not a folder beside it"
        )
    config = _read(folder, f"{path}/config.json")
    if not isinstance(config, dict):
        raise _unusable(folder, f"{path}/config.json is not an object")
    flags = {"pooling_mode_mean_tokens": True} | config
    # The newer format names one mode; the older one switches each mode on or off.
    modes = (
        [config["pooling_mode"]]
        if "pooling_mode" in config
        else sorted(
            key.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token")
            for key, value in flags.items()
            if key.startswith("pooling_mode_") and value
        )
    )
    match modes:
        case ["mean"]:
            return "mean"
        case ["cls"]:
            return "cls"
    raise _unusable(folder, f"{path}/config.json asks for pooling by {modes}; 'mean' or 'cls' is supported")


def _read(folder: Path, name: str) -> Any:
    try:
        return json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unusable(folder, f"{name} cannot be read") from error


def _unusable(folder: Path, problem: str) -> InvalidConfiguration:
    return InvalidConfiguration(
        f"No embeddings of the base in {folder}: {problem}.", param="TUNERY_CATALOGUE"
    )
