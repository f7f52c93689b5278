"""The time limit of one check, and searches that keep to it."""

import time

from cluster.serving.schemas.expressions import Expressions


class TooLong(Exception):
    """The time limit is reached."""


class Deadline:
    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._expressions = Expressions()

    def check(self) -> None:
        """Raises TooLong once the limit is reached."""
        if time.monotonic() > self._end:
            raise TooLong

    def search(self, pattern: str, text: str, flags: int = 0) -> bool:
        """Whether the pattern is found in the text. Raises TooLong, and SchemaError for a pattern that is
        invalid or too large."""
        expression = self._expressions.compiled(pattern, flags)
        self.check()
        try:
            found = expression.search(text, timeout=max(0.001, self._end - time.monotonic()))
        except TimeoutError as error:
            raise TooLong from error
        return found is not None
