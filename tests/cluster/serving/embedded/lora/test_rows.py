from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from cluster.serving.embedded.lora.rows import RowLora
from cluster.serving.weights.adapter import Adapter, LoraPair

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
ways = pytest.mark.parametrize("is_compiled", [True, False])
lengths = pytest.mark.parametrize("num_tokens", [1, 4])


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 5))


def _adapter(digest: str, rank: int, layers: tuple[str, ...] = ("0", "2"), scale: float = 1.0) -> Adapter:
    generator = torch.Generator().manual_seed(rank)
    shapes = {"0": (6, 8), "2": (8, 5)}
    return Adapter(
        digest,
        {
            name: LoraPair(
                torch.randn(rank, shapes[name][0], generator=generator) * scale,
                torch.randn(rank, shapes[name][1], generator=generator),
            )
            for name in layers
        },
    )


def _alone(adapter: Adapter | None, x: Tensor) -> Tensor:
    """The formula, layer by layer."""
    first, _, second = _model()

    def layer(linear: nn.Module, name: str, x: Tensor) -> Tensor:
        pair = adapter.pairs.get(name) if adapter else None
        out: Tensor = linear(x)
        return out if pair is None else out + x @ pair.down.T @ pair.up

    return layer(second, "2", layer(first, "0", x).tanh())


@ways
@lengths
def test_each_row_gets_its_own_adapters_update(is_compiled: bool, num_tokens: int) -> None:
    model = _model()
    rows = RowLora(model, ["0", "2"], CPU, is_compiled=is_compiled)
    a, b, c = _adapter("a", 3), _adapter("b", 5, ("0",)), _adapter("c", 1, ("2",))
    # Overlapping sets one after the other, because stacked adapters are kept.
    batches = (
        [a, b, a, b, a, b, None],
        [c, b, c, b, c, b, None],
        [a, None, b, a, c, None, a],
        [a] * 7,
        [None] * 7,
        [b, c, b, c, b, c, None],
        [None, a] * 3 + [b],
    )
    for assigned in batches:
        x = torch.randn(7, num_tokens, 6)
        rows.assign(assigned)
        out = model(x)
        for row, adapter in enumerate(assigned):
            torch.testing.assert_close(out[row], _alone(adapter, x[row]))


@ways
@lengths
def test_rows_without_an_adapter_are_bit_equal_to_the_base(is_compiled: bool, num_tokens: int) -> None:
    model = _model()
    x = torch.randn(4, num_tokens, 6)
    base = model(x)
    rows = RowLora(model, ["0", "2"], CPU, is_compiled=is_compiled)
    rows.assign([None, _adapter("a", 3), None, _adapter("b", 2)])
    assert torch.equal(model(x)[[0, 2]], base[[0, 2]])


@ways
@lengths
def test_an_adapter_that_overflows_touches_no_other_row(is_compiled: bool, num_tokens: int) -> None:
    model = _model()
    rows = RowLora(model, ["0", "2"], CPU, is_compiled=is_compiled)
    x = torch.randn(4, num_tokens, 6)
    a = _adapter("a", 3)
    outs = []
    for scale in (1.0, 3e38):
        rows.assign([a, _adapter(f"wild-{scale}", 2, scale=scale), None, a])
        outs.append(model(x))
    assert not outs[1][1].isfinite().all()
    assert torch.equal(outs[0][[0, 2, 3]], outs[1][[0, 2, 3]])


@ways
def test_a_removed_adapter_does_not_affect_rows_without_one(is_compiled: bool) -> None:
    model = _model()
    rows = RowLora(model, ["0", "2"], CPU, is_compiled=is_compiled)
    x = torch.randn(2, 1, 6)
    kept = _adapter("b", 2)
    rows.assign([_adapter("a", 3), kept])
    model(x)
    rows.assign([])
    rows.assign([None, kept])
    out = model(x)
    torch.testing.assert_close(out[0], _alone(None, x[0]))
    torch.testing.assert_close(out[1], _alone(kept, x[1]))


@pytest.fixture
def many_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_the_number_of_threads_does_not_change_the_result(many_threads: None) -> None:
    width, height, rank, num_tokens = 700, 500, 13, 101
    model = nn.Sequential(nn.Linear(width, height))
    rows = RowLora(model, ["0"], CPU)
    a, b = (
        Adapter(name, {"0": LoraPair(torch.randn(rank, width) / width, torch.randn(rank, height))})
        for name in "ab"
    )
    assigned = [b, a, None, a]
    x = torch.randn(len(assigned), num_tokens, width)
    outs = []
    for num_threads in (3, 1):
        torch.set_num_threads(num_threads)
        rows.assign(assigned)
        outs.append(model(x) - model[0].layer(x))
        rows.forget()
    expected = [
        torch.zeros(num_tokens, height) if own is None else one @ own.pairs["0"].down.T @ own.pairs["0"].up
        for own, one in zip(assigned, x, strict=True)
    ]
    torch.testing.assert_close(outs[0], torch.stack(expected), atol=1e-5, rtol=1e-4)
    assert torch.equal(*outs)


@ways
def test_flattened_tokens_get_their_rows_updates(is_compiled: bool) -> None:
    model = _model()
    rows = RowLora(model, ["0", "2"], CPU, is_compiled=is_compiled)
    x = torch.randn(3, 4, 6)
    assigned = [_adapter("a", 3), None, _adapter("b", 5, ("0",))]
    rows.assign(assigned)
    flat = model(x.flatten(0, 1)).view(3, 4, 5)
    torch.testing.assert_close(flat, model(x))
    torch.testing.assert_close(flat[2], _alone(assigned[2], x[2]))


def test_a_layer_that_gets_fewer_tokens_is_adapted_too() -> None:
    # Like a head, which gets only the last tokens.
    model = _model()
    rows = RowLora(model, ["0", "2"], CPU)
    x = torch.randn(3, 4, 6)
    assigned = [_adapter("a", 3), None, _adapter("b", 5)]
    rows.assign(assigned)
    last = model[2](model[0](x).tanh()[:, -1:])
    for row, adapter in enumerate(assigned):
        torch.testing.assert_close(last[row], _alone(adapter, x[row])[-1:])


class _Siblings(nn.Module):
    """Two layers that get the same tensor, or different ones."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(6, 5)

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        return torch.cat([self.first(x), self.second(x if other is None else other)], -1)


@ways
def test_layers_share_work_only_while_they_get_the_same_tensor(is_compiled: bool) -> None:
    plain = _Siblings()
    model = _Siblings()
    model.load_state_dict(plain.state_dict())
    rows = RowLora(model, ["first", "second"], CPU, is_compiled=is_compiled)
    x, other = torch.randn(3, 1, 6), torch.randn(3, 1, 6)
    with rows.watching():
        assert torch.equal(model(x), plain(x))

    def pair(rank: int, height: int) -> LoraPair:
        return LoraPair(torch.randn(rank, 6), torch.randn(rank, height))

    a = Adapter("a", {"first": pair(2, 8), "second": pair(4, 5)})
    b = Adapter("b", {"second": pair(3, 5)})
    rows.assign([a, b, None])
    for second in (None, other):
        expected = plain(x, second)
        given = x if second is None else second
        expected[0] += torch.cat(
            [
                x[0] @ a.pairs["first"].down.T @ a.pairs["first"].up,
                given[0] @ a.pairs["second"].down.T @ a.pairs["second"].up,
            ],
            -1,
        )
        expected[1, :, 8:] += given[1] @ b.pairs["second"].down.T @ b.pairs["second"].up
        torch.testing.assert_close(model(x, second), expected)


def test_a_transposed_layer_is_adapted_too() -> None:
    plain = nn.Sequential(nn.Linear(6, 8))
    transposed = nn.Sequential(Conv1D(8, 6))
    transposed[0].weight.data = plain[0].weight.data.T.clone()
    transposed[0].bias.data = plain[0].bias.data
    x = torch.randn(2, 4, 6)
    outs = []
    for model in (plain, transposed):
        rows = RowLora(model, ["0"], CPU)
        assert rows.shapes == {"0": (6, 8)}
        rows.assign([None, _adapter("a", 3, ("0",))])
        outs.append(model(x))
    torch.testing.assert_close(*outs)


@ways
def test_half_precision_output_keeps_its_type(is_compiled: bool) -> None:
    model = _model().to(torch.bfloat16)
    rows = RowLora(model, ["0", "2"], CPU, is_compiled=is_compiled)
    x = torch.randn(3, 1, 6, dtype=torch.bfloat16)
    for assigned in ([_adapter("a", 3), None, None], [_adapter("a", 3), None, _adapter("b", 2)]):
        rows.assign(assigned)
        assert model(x).dtype == torch.bfloat16
