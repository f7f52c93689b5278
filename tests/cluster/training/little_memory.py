"""A process whose device runs out of memory in larger passes."""

import os

import torch

FITTING = "TEST_FITTING_TOKENS"


def run_out_of_memory(fitting: int, *, after: int = 0) -> None:
    """From now on, passes with gradients over more than `fitting` tokens do not fit, once there have been
    `after` passes."""
    seen = 0

    def check(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal seen
        if isinstance(module, torch.nn.Embedding) and torch.is_grad_enabled():
            seen += 1
            if seen > after and inputs[0].numel() > fitting:
                raise torch.OutOfMemoryError("pretended")

    torch.nn.modules.module.register_module_forward_pre_hook(check)


def begin() -> None:
    """Ray's `worker_process_setup_hook`. FITTING in the environment says how many tokens fit."""
    run_out_of_memory(int(os.environ[FITTING]))
