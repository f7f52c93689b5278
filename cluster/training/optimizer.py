"""AdamW over the parameters that learn, and its moments as tensors with names."""

from collections.abc import Mapping

import torch
from torch import Tensor

from cluster.contracts.hyperparameters import TrainingConfig
from cluster.training.world import put, whole


def make_optimizer(
    parameters: Mapping[str, torch.nn.Parameter], config: TrainingConfig
) -> torch.optim.Optimizer:
    """Weight decay leaves biases and norms alone."""
    matrices = [parameter for parameter in parameters.values() if parameter.ndim >= 2]
    vectors = [parameter for parameter in parameters.values() if parameter.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if config.optimizer == "adamw_8bit":
        # Here, because few runs need it and it looks for GPU libraries when it is imported.
        from bitsandbytes import optim

        made: torch.optim.Optimizer = optim.AdamW8bit(groups, lr=0.0, weight_decay=0.0)
        return made
    return torch.optim.AdamW(groups, lr=0.0, fused=True)


def moments(
    parameters: Mapping[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """The optimizer's tensors as `<parameter>:<name>`, whole and in the host's memory. Every worker must ask.

    Empty before the first step."""
    return {
        f"{name}:{kind}": whole(value).detach().to("cpu", copy=True)
        for name, parameter in parameters.items()
        for kind, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor) and value.ndim
    }


def restore_moments(
    parameters: Mapping[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    saved: Mapping[str, Tensor],
    *,
    step: int,
) -> None:
    """Puts back what `moments` gave after `step` steps; also where another number of workers saved it."""
    for name, parameter in parameters.items():
        state = {}
        for key, value in saved.items():
            owner, _, kind = key.rpartition(":")
            if owner == name:
                state[kind] = _placed(value, parameter)
        count = torch.tensor(float(step)) if isinstance(optimizer, torch.optim.AdamW) else step
        optimizer.state[parameter] = {"step": count, **state}


def _placed(value: Tensor, parameter: torch.nn.Parameter) -> Tensor:
    """On the parameter's device; spread over the workers as it is, if it has its shape."""
    if value.shape != parameter.shape:
        return value.to(parameter.device)
    placed = torch.empty_like(parameter, dtype=value.dtype)
    put(placed, value)
    return placed
