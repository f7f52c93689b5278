"""Logs within a test as processes write them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def own_logging() -> Iterator[None]:
    """Restores the logging configuration when the block ends."""
    root, config = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    try:
        yield
    finally:
        root.handlers = handlers
        root.setLevel(level)
        structlog.configure(**config)
