"""AdamW over the trainable parameters, and its moments as named tensors."""

from collections.abc import Mapping

import torch
from torch import Tensor

from cluster.contracts.errors import TrainingFailed
from cluster.contracts.hyperparameters import TrainingConfig


def make_optimizer(
    parameters: Mapping[str, torch.nn.Parameter], config: TrainingConfig
) -> torch.optim.Optimizer:
    """Makes AdamW, or its 8-bit form. Weight decay applies to matrices only, not to biases and norms."""
    matrices = [parameter for parameter in parameters.values() if parameter.ndim >= 2]
    vectors = [parameter for parameter in parameters.values() if parameter.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if config.optimizer == "adamw_8bit":
        # Imported here because few runs need it and the import searches for GPU libraries.
        from bitsandbytes import optim

        made: torch.optim.Optimizer = optim.AdamW8bit(groups, lr=0.0, weight_decay=0.0)
        return made
    return torch.optim.AdamW(groups, lr=0.0, fused=True)


def moments(
    parameters: Mapping[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """Returns the optimizer's tensors, of which each worker may hold a part, named `<parameter>:<name>`.
    Empty before the first step."""
    return {
        f"{name}:{kind}": value
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
    """Restores what `moments` returned after `step` steps, sharded as the parameters are now. Raises
    TrainingFailed (`checkpoint_mismatch`) if it comes from another optimizer."""
    is_plain = isinstance(optimizer, torch.optim.AdamW)
    states: dict[str, dict[str, Tensor]] = {}
    for key, value in saved.items():
        owner, _, kind = key.rpartition(":")
        states.setdefault(owner, {})[kind] = value
    for name, parameter in parameters.items():
        # A parameter without a gradient so far has no state.
        if (state := states.get(name)) is None:
            continue
        _check_kinds(state, parameter, is_plain=is_plain)
        # Fused AdamW keeps its step counter on the parameter's device.
        count = torch.full((), float(step), device=parameter.device) if is_plain else step
        optimizer.state[parameter] = {
            "step": count,
            **{kind: value.to(parameter.device) for kind, value in state.items()},
        }


def _check_kinds(state: Mapping[str, Tensor], parameter: torch.nn.Parameter, *, is_plain: bool) -> None:
    needed = {"exp_avg", "exp_avg_sq"} if is_plain else {"state1", "state2"}
    first = state.get("exp_avg" if is_plain else "state1")
    if not needed <= state.keys() or first is None or first.shape != parameter.shape:
        raise TrainingFailed(
            "The checkpoint's optimizer state cannot be restored: it is of another kind or has other "
            "parameters. Use the training.optimizer that it was made with, or leave out "
            "training.restore_optimizer.",
            code="checkpoint_mismatch",
            param="training.restore_optimizer",
        )
