"""Python's garbage collection."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collections() -> Iterator[None]:
    """Imports inside take a seventh less time: they make hundreds of thousands of objects and hardly any
    garbage, and Python would look through all of them again and again. It looks through none of them later,
    either."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
