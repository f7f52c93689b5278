"""Reads a tenant's adapter_config.json: an allow-list of the fields that change what plain LoRA computes.

No field of the file is ever passed to the PEFT library, because PEFT would import modules, compile regular
expressions and open paths that the fields name."""

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cluster.bases.lora_form import more_than_lora
from cluster.contracts.errors import InvalidRequest
from cluster.contracts.peft_options import MAX_SCALE

_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,200}$")]
"""PEFT reads the keys of patterns as regular expressions. Only plain names are accepted here."""
_Rank = Annotated[int, Field(ge=1, le=1024)]
_Scale = Annotated[float, Field(gt=0, le=MAX_SCALE)]


class AdapterConfig(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    r: _Rank
    lora_alpha: _Scale
    use_rslora: bool = False
    rank_pattern: Annotated[dict[_Name, _Rank], Field(max_length=10_000)] = {}
    alpha_pattern: Annotated[dict[_Name, _Scale], Field(max_length=10_000)] = {}

    def rank_of(self, layer: str) -> int:
        return self.rank_pattern.get(_key_of(layer, self._rank_places), self.r)

    def alpha_of(self, layer: str) -> float:
        return self.alpha_pattern.get(_key_of(layer, self._alpha_places), self.lora_alpha)

    @cached_property
    def _rank_places(self) -> dict[str, int]:
        return _places(self.rank_pattern)

    @cached_property
    def _alpha_places(self) -> dict[str, int]:
        return _places(self.alpha_pattern)


def read_config(path: Path) -> AdapterConfig:
    """Raises InvalidRequest: `invalid_adapter` if the file cannot be read, `unsupported_adapter` if the
    adapter is more than plain LoRA."""
    try:
        fields: Any = json.loads(path.read_bytes())
        if not isinstance(fields, dict):
            raise _invalid("it is not a JSON object")
        fields = {name: value for name, value in fields.items() if value is not None}
        more = more_than_lora(fields)
    except (ValueError, RecursionError) as error:
        raise _invalid("it is not JSON") from error
    if more is not None:
        raise InvalidRequest(
            f"The adapter is not plain LoRA: {more:.200}. Only plain LoRA can be imported.",
            code="unsupported_adapter",
            param="files",
        )
    try:
        return AdapterConfig.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise _invalid(f"{place:.200}: {first['msg']}") from error


def _places(patterns: Iterable[str]) -> dict[str, int]:
    return {key: place for place, key in enumerate(patterns)}


def _key_of(layer: str, places: Mapping[str, int]) -> str:
    """Returns the key that is the layer's name or its suffix; if there are several, the one with the lowest
    place."""
    words = layer.split(".")
    ends = (".".join(words[start:]) for start in range(len(words)))
    return min((end for end in ends if end in places), key=places.__getitem__, default=layer)


def _invalid(problem: str) -> InvalidRequest:
    return InvalidRequest(
        f"adapter_config.json cannot be used: {problem}.", code="invalid_adapter", param="files"
    )
