"""The optimizer's state, restored where fused AdamW looks for it."""

from collections.abc import Callable

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from cluster.contracts.hyperparameters import TrainingConfig
from cluster.training.loop.optimizer import make_optimizer, moments, restore_moments


def parameters(device: str) -> dict[str, torch.nn.Parameter]:
    return {"matrix": torch.nn.Parameter(torch.ones(4, 4, device=device))}


def test_a_restored_optimizer_steps_on_a_gpu(make_config: Callable[..., TrainingConfig]) -> None:
    """Fused AdamW needs its step counter on the parameter's device."""
    with FakeTensorMode():
        learned = parameters("cuda")
        optimizer = make_optimizer(learned, make_config())
        saved = {f"matrix:{kind}": torch.ones(4, 4) for kind in ("exp_avg", "exp_avg_sq")}
        restore_moments(learned, optimizer, saved, step=3)
        state = optimizer.state[learned["matrix"]]
        assert {value.device.type for value in state.values()} == {"cuda"}
        learned["matrix"].grad = torch.ones_like(learned["matrix"])
        optimizer.step()


def test_a_restored_optimizer_continues_as_if_it_had_not_stopped(
    make_config: Callable[..., TrainingConfig],
) -> None:
    def step(learned: dict[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
        learned["matrix"].grad = torch.arange(16.0).view(4, 4)
        optimizer.param_groups[0]["lr"] = 0.1
        optimizer.step()

    straight, stopped = parameters("cpu"), parameters("cpu")
    whole, first = (make_optimizer(each, make_config()) for each in (straight, stopped))
    for _ in range(3):
        step(straight, whole)
    step(stopped, first)
    second = make_optimizer(stopped, make_config())
    restore_moments(stopped, second, moments(stopped, first), step=1)
    for _ in range(2):
        step(stopped, second)
    assert torch.equal(straight["matrix"], stopped["matrix"])
