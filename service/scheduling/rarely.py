"""What lasts is logged now and then, not in every round."""

import time
from collections.abc import Callable, Hashable

_MANY = 1000


class Rarely:
    """Tells whether it is time to say a thing (again): at first, and every `seconds` after. Safe for
    threads."""

    def __init__(self, seconds: float = 60.0, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._said_at: dict[Hashable, float] = {}

    def __call__(self, *what: Hashable) -> bool:
        at = self._clock()
        if at - self._said_at.get(what, float("-inf")) < self._seconds:
            return False
        if len(self._said_at) >= _MANY:
            # A new one in its place: other threads may be reading the old one.
            self._said_at = {key: said for key, said in self._said_at.items() if at - said < self._seconds}
        self._said_at[what] = at
        return True
