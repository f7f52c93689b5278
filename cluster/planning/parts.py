"""The parts of a model's block, and how its configuration is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SHARING_WIDTH = 256
"""The widest heads for which kernels let several query heads share keys and values."""


@dataclass(frozen=True, slots=True)
class Part:
    """Weights of a block."""

    linear: tuple[tuple[str, int, int, bool], ...] = ()
    """Name, outputs and inputs of each linear layer, and whether `all-linear` adapts it."""
    experts: int = 0
    expert_adapter: int = 0
    experts_per_token: int = 0
    expert_slot_whole: int = 0
    expert_slot_shared: int = 0
    rest: int = 0
    feed_forward: int = 0
    """Number of hidden units through which a token passes."""
    queries: int = 0
    """Width of all queries, or of the input of a recurrent layer's computation."""
    key_values: int = 0
    """Width of all keys and values."""
    repeated: int = 0
    masks: int = 0
    """Same as in ModelShape."""
    recurrent: int = 0
    """Same as in ModelShape."""
    cache: tuple[tuple[int, int, int | None, int], ...] = ()
    """`heads`, `per_token`, `window` and `state` of CacheShape."""

    def __add__(self, other: "Part") -> "Part":
        return Part(
            self.linear + other.linear,
            self.experts + other.experts,
            self.expert_adapter + other.expert_adapter,
            self.experts_per_token + other.experts_per_token,
            self.expert_slot_whole + other.expert_slot_whole,
            self.expert_slot_shared + other.expert_slot_shared,
            self.rest + other.rest,
            self.feed_forward + other.feed_forward,
            self.queries + other.queries,
            self.key_values + other.key_values,
            self.repeated + other.repeated,
            self.masks + other.masks,
            self.recurrent + other.recurrent,
            self.cache + other.cache,
        )


def linear(name: str, outputs: int, inputs: int, *, bias: bool = False, adapted: bool = True) -> Part:
    return Part(((name, outputs, inputs, adapted),), rest=outputs if bias else 0)


def attended(heads: int, width: int, key_value_heads: int, *, window: int | None) -> Part:
    """Returns what attention computes and keeps, with heads of this width."""
    kept = 2 * key_value_heads * width
    cache = ((key_value_heads, kept, window, 0),)
    repeated = 2 * heads * width if width > _SHARING_WIDTH and heads != key_value_heads else 0
    return Part(queries=heads * width, key_values=kept, repeated=repeated, cache=cache)


class Config:
    """A base's `config.json`. The family's default replaces a missing or null field."""

    def __init__(self, fields: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        self._fields, self._defaults = fields, defaults

    def get(self, *names: str) -> Any:
        """Returns the first of these fields that is set, otherwise a default, otherwise None."""
        for fields in (self._fields, self._defaults):
            for name in names:
                if fields.get(name) is not None:
                    return fields[name]
        return None

    def size(self, *names: str) -> int:
        """Returns a size. Raises KeyError if the field is missing or not a positive number."""
        value = self.get(*names)
        if type(value) is not int or value <= 0:
            raise KeyError(names[0])
        return value

    def flag(self, *names: str) -> bool:
        return bool(self.get(*names))

    def kind(self, number: int) -> str | None:
        """Returns the configuration's name for the layer with this number; None if it has none."""
        kinds = self.get("layer_types", "layers_block_type")
        return None if kinds is None else str(kinds[number])

    def window(self, number: int) -> int | None:
        """Returns how many tokens the attention of this layer sees; None for all."""
        width = self.get("sliding_window")
        if width is None or self.get("use_sliding_window") is False:
            return None
        kind = self.kind(number)
        if kind is None:
            every = self.get("sliding_window_pattern")
            first = int(self.get("max_window_layers") or 0) if self.flag("use_sliding_window") else 0
            is_sliding = number >= first and (every is None or (number + 1) % int(every) != 0)
        else:
            is_sliding = kind == "sliding_attention"
        return int(width) if is_sliding else None

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
