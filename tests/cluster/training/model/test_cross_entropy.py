"""The head that computes its gradients in the forward pass, against autograd over all logits."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from cluster.training.model import cross_entropy
from cluster.training.model.cross_entropy import HeadShape, linear_cross_entropy

ROWS, WIDTH, VOCABULARY = 700, 12, 50


def plain(rows: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, shape: HeadShape) -> Tensor:
    logits = functional.linear(rows, weight, bias) * shape.scale
    if shape.cap is not None:
        logits = shape.cap * torch.tanh(logits / shape.cap)
    return functional.cross_entropy(logits, targets, reduction="sum")


def tensors(*, learns_weight: bool, has_bias: bool) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    random = torch.Generator().manual_seed(0)
    rows = torch.randn(ROWS, WIDTH, generator=random).requires_grad_()
    weight = torch.randn(VOCABULARY, WIDTH, generator=random).requires_grad_(learns_weight)
    bias = torch.randn(VOCABULARY, generator=random).requires_grad_(learns_weight) if has_bias else None
    return rows, weight, bias, torch.randint(VOCABULARY, (ROWS,), generator=random)


@pytest.mark.parametrize("shape", [HeadShape(), HeadShape(0.5), HeadShape(2.0, 3.0)])
@pytest.mark.parametrize("learns_weight", [True, False])
@pytest.mark.parametrize("has_bias", [True, False])
def test_loss_and_gradients_equal_autograd_over_all_logits(
    monkeypatch: pytest.MonkeyPatch, shape: HeadShape, learns_weight: bool, has_bias: bool
) -> None:
    monkeypatch.setattr(cross_entropy, "LOSS_LOGITS", 1)
    rows, weight, bias, targets = tensors(learns_weight=learns_weight, has_bias=has_bias)
    learned = [tensor for tensor in (rows, weight, bias) if tensor is not None and tensor.requires_grad]
    expected = plain(rows, weight, bias, targets, shape)
    gradients = torch.autograd.grad(expected / 3, learned)
    loss, _ = linear_cross_entropy(rows, weight, bias, targets, shape)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss / 3, learned), gradients, atol=1e-5, rtol=1e-4)


def test_correct_counts_the_most_likely_targets() -> None:
    rows, weight, _, targets = tensors(learns_weight=False, has_bias=False)
    _, correct = linear_cross_entropy(rows, weight, None, targets)
    assert int(correct) == int(((rows @ weight.T).argmax(1) == targets).sum()) > 0


def test_no_targets_give_a_loss_of_zero_with_gradients_of_zero() -> None:
    rows, weight, _, targets = tensors(learns_weight=True, has_bias=False)
    loss, correct = linear_cross_entropy(rows[:0], weight, None, targets[:0])
    loss.backward()
    assert (float(loss.detach()), int(correct)) == (0.0, 0)
    assert weight.grad is not None
    assert not weight.grad.any()


def test_autocast_multiplies_in_its_type_and_accumulates_in_fp32() -> None:
    rows, weight, _, targets = tensors(learns_weight=True, has_bias=False)
    expected = plain(rows, weight, None, targets, HeadShape())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = linear_cross_entropy(rows, weight, None, targets)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=1e-2, atol=0)
    found = torch.autograd.grad(loss, [rows, weight])
    for gradient, reference in zip(found, torch.autograd.grad(expected, [rows, weight]), strict=True):
        assert gradient.dtype == torch.float32
        assert float((gradient - reference).norm()) < 0.02 * float(reference.norm())


def test_gradients_are_not_computed_when_disabled() -> None:
    rows, weight, _, targets = tensors(learns_weight=True, has_bias=False)
    with torch.no_grad():
        loss, _ = linear_cross_entropy(rows, weight, None, targets)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, plain(rows, weight, None, targets, HeadShape()).detach())


def test_the_gradient_of_a_head_in_bf16_is_summed_in_fp32_over_chunks() -> None:
    """A gathered FSDP head is in bf16. Over many chunks a sum in bf16 would drift away."""
    random = torch.Generator().manual_seed(0)
    rows = torch.randn(40 * 256, WIDTH, generator=random)
    weight = torch.randn(VOCABULARY, WIDTH, generator=random).bfloat16()
    targets = torch.randint(VOCABULARY, (len(rows),), generator=random)
    exact = weight.float().requires_grad_()
    (expected,) = torch.autograd.grad(plain(rows, exact, None, targets, HeadShape()), exact)
    learned = weight.clone().requires_grad_()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cross_entropy, "LOSS_LOGITS", 1)
        loss, _ = linear_cross_entropy(rows, learned, None, targets)
    (found,) = torch.autograd.grad(loss, learned)
    assert found.dtype == torch.bfloat16
    assert float((found.float() - expected).norm()) < 2**-8 * float(expected.norm())
