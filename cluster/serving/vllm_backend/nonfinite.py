"""Finds out which weights are at fault when a vLLM request produces numbers that are not finite. Pure.

The fault is in the request's own weights or in those of another request. vLLM does not clear the memory of
keys and values between requests. If attention reads beyond a request's own tokens, a number there that is not
finite corrupts the result in spite of the mask (0 x NaN = NaN). The affected request leaves such numbers
behind in turn, so only a new engine helps."""

from collections import OrderedDict

from cluster.contracts.errors import CorruptArtefact, TuneryError, Unavailable
from cluster.contracts.weights import WeightsRef

_REMEMBERED = 4096
"""Maximum number of weights that are remembered as sound. The most recent ones are kept."""


class NonFiniteTracker:
    """Tracks which weights have worked. They are identified by their adapter; None means the engine's own
    weights."""

    def __init__(self) -> None:
        self._sound: OrderedDict[str, None] = OrderedDict()
        self._culprits: set[str] = set()
        self.is_memory_corrupted = False
        """Whether the engine must be replaced."""

    def check(self, adapter: WeightsRef | None) -> None:
        """Raises CorruptArtefact for an adapter that is known to corrupt the memory."""
        if adapter is not None and adapter.digest in self._culprits:
            raise CorruptArtefact(
                f"The weights of adapter {adapter.digest} have given numbers that are not finite; this "
                "engine does not run them again."
            )

    def record_finite(self, adapter: WeightsRef | None) -> None:
        """Records that a sequence with these weights has ended with finite numbers."""
        name = _name(adapter)
        self._sound[name] = None
        self._sound.move_to_end(name)
        if len(self._sound) > _REMEMBERED:
            self._sound.popitem(last=False)

    def record_nonfinite(self, adapter: WeightsRef | None, error: CorruptArtefact) -> TuneryError:
        """Records that a request met numbers that are not finite, and returns the error for it. The error is
        `error`, unless these weights have worked before and others have given such numbers; then the memory
        is corrupted."""
        name = _name(adapter)
        if self._culprits - {name} and name in self._sound:
            self.is_memory_corrupted = True
            return Unavailable(
                "The engine's memory is corrupted, and the engine will be replaced; try again."
            )
        self._culprits.add(name)
        self._sound.pop(name, None)
        return error


def _name(adapter: WeightsRef | None) -> str:
    return "" if adapter is None else adapter.digest
