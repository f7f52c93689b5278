"""AdaLoRA's part of a step (Zhang et al., 2023, arXiv:2303.10512): its penalty and its rank allocation."""

from typing import Any

import torch
from torch import Tensor

_AVERAGES = ("ipt", "exp_avg_ipt", "exp_avg_unc")


class RankAllocation:
    """Moves rank from the layers that need it least to those that need it most, during training."""

    def __init__(self, model: Any) -> None:
        """`model` is PEFT's wrapper with an AdaLoRA adapter."""
        self._tuner = model.base_model
        self._config = model.peft_config["default"]

    def add_penalty(self) -> None:
        """Adds the gradient of the penalty that keeps the factors orthogonal: `orth_reg_weight` times the
        mean of ||P^T P - I|| over all factors."""
        distances = []
        for name, factor in self._tuner.named_parameters():
            if "lora_A" in name or "lora_B" in name:
                product = factor @ factor.T if "lora_A" in name else factor.T @ factor
                identity = torch.eye(len(product), device=factor.device)
                distances.append(torch.linalg.matrix_norm(product - identity))
        torch.autograd.backward(self._config.orth_reg_weight * torch.stack(distances).mean())

    def allocate(self, step: int) -> None:
        """Reallocates rank. Call it after optimizer step number `step`, counted from 1, and before gradients
        are cleared."""
        self._tuner.update_and_allocate(step)

    def state(self) -> dict[str, Tensor]:
        """The running averages and the current rank pattern, for a checkpoint."""
        allocator = self._tuner.rankallocator
        tensors = {
            f"{kind}:{name}": value.cpu()
            for kind in _AVERAGES
            for name, value in getattr(allocator, kind).items()
        }
        for name, kept in (self._config.rank_pattern or {}).items():
            tensors[f"rank_pattern:{name}"] = torch.as_tensor(kept, dtype=torch.bool, device="cpu")
        return tensors

    def restore(self, state: dict[str, Tensor]) -> None:
        allocator = self._tuner.rankallocator
        device = next(self._tuner.parameters()).device
        pattern: dict[str, list[bool]] = {}
        for key, value in state.items():
            kind, _, name = key.partition(":")
            if kind == "rank_pattern":
                pattern[name] = value.tolist()
            else:
                getattr(allocator, kind)[name] = value.to(device)
        if pattern:
            self._config.rank_pattern = pattern
