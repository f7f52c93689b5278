"""Checks on a few tokens that a runner computes what the model itself does, before it serves requests."""

import torch
from torch import Tensor

from cluster.contracts.errors import CorruptArtefact
from cluster.serving.embedded.lora.adapted_model import AdaptedModel
from cluster.serving.embedded.runner import ModelRunner

_STEPS = 3
"""Tokens that are decoded one by one; the earlier ones are prefilled, in two parts."""
_SHORTER = 5
"""The second row is shorter by this many tokens: rows of equal length would hide mixed-up positions."""
_TOLERANCE = {torch.float32: 1e-3}
_HALF_TOLERANCE = 0.15
"""Root mean square of the error, in standard deviations of the logits. Rounding gave 1e-6 in fp32; in bf16,
with 24 random layers, 0.04, and 0.07 with experts, whose choice changes; a wrong mask gave 0.2 to 1.4."""


@torch.inference_mode()
def parity_error(runner: ModelRunner, model: AdaptedModel, length: int) -> float:
    """Returns the difference between the runner's logits and those of plain forward passes, on two rows of up
    to `length` random tokens; compare with `tolerance`. Leaves the runner empty.

    Raises CorruptArtefact if the model's own numbers are not finite. Other errors pass through.
    """
    generator = torch.Generator().manual_seed(0)
    lengths = (length, max(_STEPS + 2, length - _SHORTER))
    texts = [
        torch.randint(1, model.num_embeddings, (size,), generator=generator).tolist() for size in lengths
    ]
    expected = [_plain(model, text) for text in texts]
    if not all(bool(logits.isfinite().all()) for logits in expected):
        raise CorruptArtefact("The model's weights give numbers that are not finite.")
    found = _decoded(runner, texts)
    pairs = [pair for row in range(len(texts)) for pair in zip(found[row], expected[row], strict=True)]
    return max(error_between(*pair) for pair in pairs)


def tolerance(dtype: torch.dtype) -> float:
    """Returns the largest error that rounding explains."""
    return _TOLERANCE.get(dtype, _HALF_TOLERANCE)


def _plain(model: AdaptedModel, text: list[int]) -> Tensor:
    """Returns logits [S + 1, V] after the prompt and after each of the following tokens."""
    return model.forward([text], [None], use_cache=False)[0, -_STEPS - 1 :]


def _decoded(runner: ModelRunner, texts: list[list[int]]) -> list[Tensor]:
    """Returns the runner's logits [S + 1, V], by row."""
    prefill = runner.start([text[:-_STEPS] for text in texts], [None] * len(texts))
    # Both rows end in the second part.
    runner.prefill(prefill, min(prefill.lengths) // 2, keeps_all=False)
    steps = [runner.prefill(prefill, max(prefill.lengths), keeps_all=False)]
    for row in range(len(texts)):
        runner.add_row(prefill, row)
    for step in range(_STEPS):
        steps.append(runner.decode([text[step - _STEPS] for text in texts]))
    runner.clear()
    return [torch.stack([step[row] for step in steps]) for row in range(len(texts))]


def error_between(found_V: Tensor, expected_V: Tensor) -> float:
    """Root mean square of the difference, in standard deviations of the expected logits."""
    # An untrained model may have flat logits, with a deviation of 0.
    return float((found_V - expected_V).square().mean().sqrt() / expected_V.std().clamp(min=1e-3))
