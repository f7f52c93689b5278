"""torch.compile for a model's layers."""

import os
import shutil
from collections.abc import Iterable

import torch

from cluster.contracts.errors import TrainingFailed
from cluster.training.model import attention

_COMPILERS = {"cpu": ("CXX", ("g++", "clang++")), "cuda": ("CC", ("gcc", "clang", "cc"))}
"""The compilers that torch (C++ for the CPU) and Triton (C around a GPU's kernels) call: the one that the
environment variable names, or the first of these that is found."""


def compile_layers(layers: Iterable[torch.nn.Module], device: torch.device) -> None:
    """Makes the layers compile themselves in their first pass. Raises TrainingFailed (`unsupported_option`)
    if this machine cannot compile: torch itself would only notice in the middle of that pass."""
    variable, names = _COMPILERS[device.type]
    chosen = os.environ.get(variable)
    if not any(shutil.which(name) for name in ((chosen,) if chosen else names)):
        language = "C++" if device.type == "cpu" else "C"
        raise TrainingFailed(
            f"training.compile needs a {language} compiler, and the machines that train have none "
            f"({chosen or ' or '.join(names)}). Leave it out, or ask the operator to install one.",
            code="unsupported_option",
            param="training.compile",
        )
    attention.register(is_compiled=True)
    for layer in layers:
        layer.compile(dynamic=True)
