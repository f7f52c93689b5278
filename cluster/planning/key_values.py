"""Estimates the memory of a sequence in vLLM while it is answered: keys and values, by the kinds of a model's
layers.

vLLM makes the same calculation when it starts (`vllm/v1/kv_cache_interface.py`, `max_memory_usage_bytes`),
and refuses to start without room for one whole context. Layers with a window keep no more than the window and
one pass; latent attention keeps one vector per token; recurrent layers keep a state, however long the
sequence is."""

from bisect import bisect_right
from dataclasses import dataclass

from cluster.contracts.model_shape import CacheShape, ModelShape

_BLOCK = 16
"""Number of tokens in an allocation block."""
_STATES = 2
"""States per sequence: one more is kept at the last whole block, for prompts that begin alike."""
_STATE_NUMBER = 4
"""Bytes per number in a state."""
_EVEN = 1.25
"""Up to this ratio, kinds of layers that differ in number are padded to the larger number."""


@dataclass(frozen=True, slots=True)
class KeyValues:
    """Memory of a sequence on each of `devices` that share the model."""

    shape: ModelShape
    devices: int
    number_bytes: int
    pass_tokens: int
    """Number of tokens in the largest pass."""

    def bytes(self, tokens: int) -> int:
        """Returns the bytes of a sequence that is `tokens` long."""
        return max(1, sum(self._padded(kind) * self._of_layer(kind, tokens) for kind in self.shape.cache))

    def longest(self, room: int, *, most: int) -> int:
        """Returns the maximum number of tokens, up to `most`, for which a sequence fits into `room` bytes."""
        return max(0, bisect_right(range(most + 1), room, key=self.bytes) - 1)

    def _of_layer(self, kind: CacheShape, tokens: int) -> int:
        parts = min(self.devices, kind.heads)
        state = _STATES * kind.state // parts * _STATE_NUMBER
        if not kind.per_token:
            return state
        kept = tokens if kind.window is None else min(tokens, kind.window - 1 + self.pass_tokens)
        # A window may begin anywhere within a block, so it may need one more.
        blocks = -(-kept // self._block) + (kind.window is not None)
        return state + blocks * self._block * (kind.per_token // parts) * self.number_bytes

    def _padded(self, kind: CacheShape) -> int:
        """Returns the number of layers of this kind with padding. Kinds of layers share blocks of memory in
        groups with the same number of layers each. The last group may have empty places."""
        counts = [each.count for each in self.shape.cache]
        group = max(counts) if max(counts) < _EVEN * min(counts) else min(counts)
        return -(-kind.count // group) * group

    @property
    def _block(self) -> int:
        """Number of tokens in a block. If layers keep states, a block of the other layers is made as large as
        a state."""
        state = max((kind.state for kind in self.shape.cache), default=0) * _STATE_NUMBER
        token = max((kind.per_token for kind in self.shape.cache), default=0) * self.number_bytes
        return _BLOCK * max(1, -(-state // (_BLOCK * token))) if token else _BLOCK
