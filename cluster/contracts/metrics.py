"""What a metric for Prometheus is, for service and cluster alike. Each side declares its own."""

from dataclasses import dataclass
from typing import Literal

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Buckets of what a person or a client waits for."""
MINUTES = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0)
"""Buckets of work in the background, in seconds."""
TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0)
"""Buckets of the time between two tokens."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A name says the unit, by Prometheus's conventions: `_seconds`, `_bytes`, and `_total` for counters. A
    label has few values, whatever clients do: never a path, a project, a key or a tuned model."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets."""
