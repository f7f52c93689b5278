"""The catalogue: which base models this installation offers.

The packaged `catalogue.toml` names the built-in model. To offer others, set TUNERY_CATALOGUE on the service
to the path of a TOML file of the same form, which replaces the packaged one:

    [[model]]
    alias = "tunery-tiny-1"                                 # keep the built-in model
    source = { kind = "builtin", name = "tiny" }
    context_length = 1024
    learning_rates = { lora = 3e-3, full = 1e-3 }

    [[model]]
    alias = "our-model"                                     # no "/" and no ":"
    source = { kind = "folder", path = "/models/ours" }     # transformers' format, same path on every node
    context_length = 8192
    learning_rates = { lora = 2e-4 }                        # full fine-tuning is not offered
    dtype = "bfloat16"

    [[model]]
    alias = "hub-model"
    source = { kind = "hub", repository = "owner/name", revision = "<40 hex digits of the commit>" }
    context_length = 32768
    learning_rates = { lora = 2e-4, full = 1e-5 }
    dtype = "bfloat16"
    qlora_served_on = "four_bits"                           # as trained, on a second copy of the base

    [[model]]
    alias = "our-bert"
    source = { kind = "folder", path = "/models/bert" }
    context_length = 512
    learning_rates = { lora = 3e-4, full = 3e-5 }
    architecture = "encoder"                                # classifies texts or words; default: "decoder"

A model whose folder is missing or incomplete is listed with the reason, and requests to it get a 503.
`contracts.bases.BaseSpec` says what each field means. Weights are read from safetensors files only, and code
that a repository carries is never run.
"""

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import InvalidConfiguration

PACKAGED_CATALOGUE = Path(__file__).with_name("catalogue.toml")


def load_catalogue(path: Path | None = None) -> dict[str, BaseSpec]:
    """The models by alias, in the order of the file: `path`, else TUNERY_CATALOGUE, else the packaged one.

    Raises InvalidConfiguration, which names the file, the entry and the field.
    """
    path = path or Path(os.environ.get("TUNERY_CATALOGUE") or PACKAGED_CATALOGUE)
    catalogue: dict[str, BaseSpec] = {}
    for number, entry in enumerate(_entries(path), start=1):
        spec = _spec(path, number, entry)
        if spec.alias in catalogue:
            raise _invalid(path, f"entry {number}: alias '{spec.alias}' is taken by an entry before it")
        catalogue[spec.alias] = spec
    return catalogue


def _entries(path: Path) -> list[dict[str, Any]]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _invalid(path, f"cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _invalid(path, f"not TOML: {error}") from error
    entries = document.get("model")
    if document.keys() != {"model"} or not isinstance(entries, list) or not entries:
        raise _invalid(path, "must consist of one or more [[model]] tables")
    return entries


def _spec(path: Path, number: int, entry: dict[str, Any]) -> BaseSpec:
    try:
        return BaseSpec.model_validate(entry)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        name = f"entry {number} ({entry['alias']!r})" if "alias" in entry else f"entry {number}"
        raise _invalid(path, f"{name}: {field}: {first['msg']}") from error


def _invalid(path: Path, problem: str) -> InvalidConfiguration:
    return InvalidConfiguration(f"Catalogue {path}: {problem}.", param="TUNERY_CATALOGUE")
