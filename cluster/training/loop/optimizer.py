"""AdamW over the parameters that learn, and its moments as tensors with names."""

from collections.abc import Mapping

import torch
from torch import Tensor

from cluster.contracts.errors import TrainingFailed
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.training.world import World, host_copies, put


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
    parameters: Mapping[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer, world: World
) -> dict[str, Tensor]:
    """The optimizer's tensors as `<parameter>:<name>`, as `host_copies` gives them. Empty before the first
    step."""
    state = {
        f"{name}:{kind}": value
        for name, parameter in parameters.items()
        for kind, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor) and value.ndim
    }
    return host_copies(state, world)


def restore_moments(
    parameters: Mapping[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    saved: Mapping[str, Tensor],
    *,
    step: int,
) -> None:
    """Puts back what `moments` gave after `step` steps; also where another number of workers saved it. Raises
    TrainingFailed (`checkpoint_mismatch`) if another optimizer saved it."""
    is_plain = isinstance(optimizer, torch.optim.AdamW)
    states: dict[str, dict[str, Tensor]] = {}
    for key, value in saved.items():
        owner, _, kind = key.rpartition(":")
        states.setdefault(owner, {})[kind] = value
    for name, parameter in parameters.items():
        # A parameter that has had no gradient yet has no state.
        if (state := states.get(name)) is None:
            continue
        _check_kinds(state, parameter, is_plain=is_plain)
        count = torch.tensor(float(step)) if is_plain else step
        optimizer.state[parameter] = {
            "step": count,
            **{kind: _placed(value, parameter) for kind, value in state.items()},
        }


def _check_kinds(state: Mapping[str, Tensor], parameter: torch.nn.Parameter, *, is_plain: bool) -> None:
    needed = {"exp_avg", "exp_avg_sq"} if is_plain else {"state1", "state2"}
    first = state.get("exp_avg" if is_plain else "state1")
    if not needed <= state.keys() or first is None or first.shape != parameter.shape:
        raise TrainingFailed(
            "The checkpoint's optimizer cannot go on: it is of another kind or has other parameters. Use the "
            "training.optimizer that it was made with, or leave training.restore_optimizer out.",
            code="checkpoint_mismatch",
            param="training.restore_optimizer",
        )


def _placed(value: Tensor, parameter: torch.nn.Parameter) -> Tensor:
    """On the parameter's device; spread over the workers as it is, if it has its shape."""
    if value.shape != parameter.shape:
        return value.to(parameter.device)
    placed = torch.empty_like(parameter, dtype=value.dtype)
    put(placed, value)
    return placed
