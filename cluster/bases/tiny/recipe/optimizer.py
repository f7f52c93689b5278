"""Muon for the layers' matrices, AdamW for the rest.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) replaces a matrix's momentum with the
nearest orthogonal matrix, which it finds with Newton-Schulz steps. Matrices of the same shape are stacked
here, so that a step is a few bmm calls.
"""

from typing import Any

import torch
from torch import Tensor

from cluster.bases.tiny.recipe.network import TinyLlama

MATRIX_RATE = 0.02
OTHER_RATE = 4e-3
MOMENTUM = 0.95
WEIGHT_DECAY = 0.02
NEWTON_SCHULZ_STEPS = 4


class Optimizer:
    """Combines both optimizers in one `step`, with a state to save and load."""

    def __init__(self, model: TinyLlama) -> None:
        self._blocks = model.layers()
        matrices = {
            id(p) for block in self._blocks for p in (block.qkv, block.out, block.gate_up, block.down)
        }
        others = [p for p in model.parameters() if id(p) not in matrices]
        self._adam = torch.optim.AdamW(others, lr=OTHER_RATE, betas=(0.9, 0.95), weight_decay=0.0)
        self._momenta = [torch.zeros_like(group) for group in self._gradients(zeros=True)]

    @torch.no_grad()
    def step(self, scale: float) -> None:
        """Updates the parameters at `scale` times the full rates, then clears the gradients."""
        for group in self._adam.param_groups:
            group["lr"] = OTHER_RATE * scale
        self._adam.step()
        rate = MATRIX_RATE * scale
        for index, gradient in enumerate(self._gradients()):
            momentum = self._momenta[index].lerp_(gradient, 1 - MOMENTUM)
            update = orthogonal(gradient.lerp(momentum, MOMENTUM))
            self._apply(index, update, rate)
        for block in self._blocks:
            block.zero_grad()
        self._adam.zero_grad()

    def state(self) -> dict[str, Any]:
        """The state for `load`."""
        return {"adam": self._adam.state_dict(), "momenta": self._momenta}

    def load(self, state: dict[str, Any]) -> None:
        """Continues from a saved state."""
        self._adam.load_state_dict(state["adam"])
        self._momenta = state["momenta"]

    def _gradients(self, zeros: bool = False) -> list[Tensor]:
        """The matrices' gradients in two stacks, (4·L, H, H) and (3·L, H, M)."""

        def of(parameter: Tensor) -> Tensor:
            if zeros or parameter.grad is None:
                return torch.zeros_like(parameter)
            return parameter.grad

        squares = [torch.cat([of(block.qkv), of(block.out)[None]]) for block in self._blocks]
        wides = [
            torch.cat([of(block.gate_up).transpose(1, 2), of(block.down)[None]]) for block in self._blocks
        ]
        return [torch.cat(squares), torch.cat(wides)]

    def _apply(self, index: int, update: Tensor, rate: float) -> None:
        """Updates the matrices of stack `index`. Tall ones move sqrt(rows / columns) times as far."""
        for block, part in zip(self._blocks, update.chunk(len(self._blocks)), strict=True):
            if index == 0:
                pairs = [(block.qkv, part[:3]), (block.out, part[3])]
            else:
                pairs = [(block.gate_up, part[:2].transpose(1, 2)), (block.down, part[2])]
            for parameter, change in pairs:
                parameter.mul_(1 - rate * WEIGHT_DECAY)
                parameter.add_(
                    change, alpha=-rate * max(1.0, parameter.shape[-2] / parameter.shape[-1]) ** 0.5
                )


def orthogonal(stack: Tensor) -> Tensor:
    """Approximates the nearest orthogonal matrix of each matrix in the stack (N, m, n), m <= n."""
    x: Tensor = stack.bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = torch.bmm(x, x.transpose(1, 2))
        x = 3.4445 * x + torch.bmm(-4.775 * gram + 2.0315 * torch.bmm(gram, gram), x)
    return x.float()
