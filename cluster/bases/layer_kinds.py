"""Finds out what kind of layer each module of a model is for an adapter, by observing a short forward
pass."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

UNORDERED = "Unordered"
"""A layer that sees tokens without their row structure, or that no forward pass calls."""

_ROWS, _LENGTH = 2, 7


@torch.no_grad()
def layer_kinds(model: Any) -> dict[str, str]:
    """Returns the kind of every module of the causal `model` that has no children, by name.

    Linear layers and their subclasses are "Linear", and transformers' transposed ones "Conv1D", if they get
    the batch's tokens row by row, as [B, T, ...] or flattened to [B x T, ...]; otherwise they are UNORDERED.
    Other modules are named by their class.

    Runs the model on a few tokens in evaluation mode, and restores its mode."""
    leaves = {name: module for name, module in model.named_modules() if not any(module.children())}
    linear = {name: module for name, module in leaves.items() if isinstance(module, nn.Linear | Conv1D)}
    # Not 0, which is often the padding token, for which some models log a warning.
    token_ids = torch.arange(1, 1 + _ROWS * _LENGTH, device=model.device).view(_ROWS, _LENGTH)
    is_training = model.training
    model.eval()
    together = _inputs(model, linear, token_ids)
    first_alone = _inputs(model, linear, token_ids[:1])
    model.train(is_training)
    return {name: type(module).__name__ for name, module in leaves.items()} | {
        name: _kind(module, together.get(name), first_alone.get(name)) for name, module in linear.items()
    }


def _kind(module: nn.Module, together: Tensor | None, first_alone: Tensor | None) -> str:
    if together is None or first_alone is None:
        return UNORDERED
    is_flat = together.shape[:-1] == (_ROWS * _LENGTH,) and first_alone.shape[:-1] == (_LENGTH,)
    is_by_row = is_flat and _is_close(together[:_LENGTH], first_alone)
    if together.shape[:-1] == (_ROWS, _LENGTH) or is_by_row:
        return "Conv1D" if isinstance(module, Conv1D) else "Linear"
    return UNORDERED


def _is_close(one: Tensor, other: Tensor) -> bool:
    """Whether the tensors are equal up to rounding in half precision. Different tokens are far apart."""
    return bool((one.float() - other.float()).norm() <= 0.1 * other.float().norm())


def _inputs(model: Any, layers: dict[str, nn.Module], token_ids: Tensor) -> dict[str, Tensor]:
    """Returns what each layer gets in a forward pass over `token_ids`, by name."""
    seen: dict[str, Tensor] = {}

    def note(name: str) -> Any:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen[name] = inputs[0]

        return hook

    hooks = [layer.register_forward_pre_hook(note(name)) for name, layer in layers.items()]
    try:
        model(input_ids=token_ids, use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return seen
