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


def compile_layers(
    layers: Iterable[torch.nn.Module], device: torch.device, *, is_checkpointed: bool = False
) -> None:
    """Makes the layers compile themselves in their first pass. With `is_checkpointed`, each part of a layer
    compiles on its own: transformers checkpoints inside a layer's forward, and torch.compile leaves the whole
    layer uncompiled if attention breaks the graph inside the checkpoint.

    Raises TrainingFailed (`unsupported_option`) if this machine cannot compile: torch itself would only
    notice in the middle of that pass."""
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
        for module in layer.children() if is_checkpointed else (layer,):
            module.compile(dynamic=True)
