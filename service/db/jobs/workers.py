"""The number of a job's training processes."""

from collections.abc import Mapping
from typing import Any


def num_workers(training: Mapping[str, Any], config: Mapping[str, Any] | None) -> int:
    """Number of workers by the stored options and configuration. Before the job is planned, this is the
    number in the options: for an elastic job, the minimum."""
    if config is not None:
        return int(config["num_workers"])
    requested = training.get("num_workers", 1)
    if isinstance(requested, Mapping):
        return int(requested["min"])
    return 1 if requested == "auto" else int(requested)
