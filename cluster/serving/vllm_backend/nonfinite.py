"""Whose fault it is if a request of vLLM's gives numbers that are not finite. Pure.

Its own weights', or those of another: vLLM does not clear the memory of keys and values that one request
leaves to the next, and where attention reads beyond a request's own tokens, a number that is not finite
spoils it behind any mask (0 x NaN = NaN). Such a victim spoils what it leaves behind in its turn, so nothing
but a new engine ends that.
"""

from collections import OrderedDict

from cluster.contracts.errors import CorruptArtefact, TuneryError, Unavailable
from cluster.contracts.weights import WeightsRef

_REMEMBERED = 4096
"""Weights that have answered, of which the latest are known."""


class NonFiniteTracker:
    """Weights go by their adapter; None is what the engine has of its own."""

    def __init__(self) -> None:
        self._sound: OrderedDict[str, None] = OrderedDict()
        self._culprits: set[str] = set()
        self.is_memory_spoiled = False
        """The engine must be replaced."""

    def check(self, adapter: WeightsRef | None) -> None:
        """Raises CorruptArtefact for an adapter that must not spoil the memory again."""
        if adapter is not None and adapter.digest in self._culprits:
            raise CorruptArtefact(
                f"The weights of adapter {adapter.digest} have given numbers that are not finite; this "
                "engine does not run them again."
            )

    def clear(self, adapter: WeightsRef | None) -> None:
        """A choice of these weights has come to its end with finite numbers."""
        name = _name(adapter)
        self._sound[name] = None
        self._sound.move_to_end(name)
        if len(self._sound) > _REMEMBERED:
            self._sound.popitem(last=False)

    def judge(self, adapter: WeightsRef | None, error: CorruptArtefact) -> TuneryError:
        """What to answer to a request that met numbers that are not finite: `error`, unless these weights
        have answered before and others have given such numbers meanwhile. Then those are in the memory."""
        name = _name(adapter)
        if self._culprits - {name} and name in self._sound:
            self.is_memory_spoiled = True
            return Unavailable("The engine's memory is spoiled, and it will be replaced; try again.")
        self._culprits.add(name)
        self._sound.pop(name, None)
        return error


def _name(adapter: WeightsRef | None) -> str:
    return "" if adapter is None else adapter.digest
