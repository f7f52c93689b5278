"""Where and how forward passes run."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch

from cluster.training.world import World


@dataclass(frozen=True, slots=True)
class Compute:
    device: torch.device
    autocast: Callable[[], Any] = nullcontext
    """Makes the context manager in which a forward pass runs."""
    world: World = field(default_factory=World)
