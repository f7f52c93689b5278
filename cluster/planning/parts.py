"""What a block of a model consists of, and how its configuration is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Part:
    """Weights of a block."""

    linear: tuple[tuple[str, int, int], ...] = ()
    """Name, outputs and inputs of each linear layer."""
    experts: int = 0
    expert_adapter: int = 0
    rest: int = 0
    feed_forward: int = 0
    """Hidden units that a token passes."""

    def __add__(self, other: "Part") -> "Part":
        return Part(
            self.linear + other.linear,
            self.experts + other.experts,
            self.expert_adapter + other.expert_adapter,
            self.rest + other.rest,
            self.feed_forward + other.feed_forward,
        )


def linear(name: str, outputs: int, inputs: int, *, bias: bool = False) -> Part:
    return Part(((name, outputs, inputs),), rest=outputs if bias else 0)


class Config:
    """A base's `config.json`. A missing or null field is the family's default."""

    def __init__(self, fields: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        self._fields, self._defaults = fields, defaults

    def get(self, *names: str) -> Any:
        """The first of these fields that is there, else a default, else None."""
        for fields in (self._fields, self._defaults):
            for name in names:
                if fields.get(name) is not None:
                    return fields[name]
        return None

    def size(self, *names: str) -> int:
        """Raises KeyError if the field is missing or no positive number."""
        value = self.get(*names)
        if type(value) is not int or value <= 0:
            raise KeyError(names[0])
        return value

    def flag(self, *names: str) -> bool:
        return bool(self.get(*names))

    @property
    def hidden(self) -> int:
        return self.size("hidden_size", "n_embd", "d_model")

    @property
    def layers(self) -> int:
        return self.size("num_hidden_layers", "n_layer")

    @property
    def heads(self) -> int:
        return self.size("num_attention_heads", "n_head")

    @property
    def head_dim(self) -> int:
        return int(self.get("head_dim") or self.hidden // self.heads)

    @property
    def key_value_heads(self) -> int:
        return int(self.get("num_key_value_heads") or self.heads)
