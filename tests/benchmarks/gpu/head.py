"""The output layer's loss and gradients in bf16, beside fp32 and beside plain cross-entropy in bf16."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from cluster.training.model.cross_entropy import linear_cross_entropy
from tests.benchmarks.gpu.sizes import GB, Finding, Findings, Setting, rounded
from tests.benchmarks.gpu.timing import milliseconds

_CHUNK = 1024
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def run(setting: Setting) -> Findings:
    rows, width, vocabulary = setting.sizes.head
    torch.manual_seed(0)
    options = {"device": setting.device, "dtype": torch.bfloat16}
    hidden = torch.randn(rows, width, **options)
    weight = torch.randn(vocabulary, width, **options) * width**-0.5
    targets = torch.randint(vocabulary, (rows,), device=setting.device)
    exact = _with_gradients(_plain, hidden.float(), weight.float(), targets)
    errors, peaks, times = {}, {}, {}
    for name, loss in (("ours", _ours), ("plain", _plain)):
        setting.forget_peak()
        before = setting.peak_bytes()
        found = _with_gradients(loss, hidden, weight, targets)
        peaks[name] = (setting.peak_bytes() - before) / GB
        errors[name] = [_error(a, b) for a, b in zip(found, exact, strict=True)]
        del found
        times[name] = milliseconds(partial(_with_gradients, loss, hidden, weight, targets), setting.device)
    pairs = zip(errors["ours"], errors["plain"], strict=True)
    is_good = all(mine <= 2 * other + 1e-4 for mine, other in pairs)
    yield Finding(
        f"{rows} rows of {width}, {vocabulary} tokens",
        is_good,
        {
            "error": [rounded(each) for each in errors["ours"]],
            "plain_error": [rounded(each) for each in errors["plain"]],
            "peak_gb": rounded(peaks["ours"]),
            "plain_peak_gb": rounded(peaks["plain"]),
            "milliseconds": times["ours"],
            "plain_milliseconds": times["plain"],
        },
    )


def _ours(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    return linear_cross_entropy(hidden, weight, None, targets)[0]


def _plain(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """A chunk of logits at a time, all of which are kept for the backward pass."""
    losses = [
        functional.cross_entropy(functional.linear(part, weight).float(), meant, reduction="sum")
        for part, meant in zip(hidden.split(_CHUNK), targets.split(_CHUNK), strict=True)
    ]
    return torch.stack(losses).sum()


def _with_gradients(loss: Loss, hidden: Tensor, weight: Tensor, targets: Tensor) -> list[Tensor]:
    hidden, weight = (each.detach().requires_grad_() for each in (hidden, weight))
    found = loss(hidden, weight, targets) / len(targets)
    found.backward()
    assert hidden.grad is not None
    assert weight.grad is not None
    return [found.detach(), hidden.grad, weight.grad]


def _error(found: Tensor, exact: Tensor) -> float:
    return float((found.float() - exact).norm() / exact.norm())
