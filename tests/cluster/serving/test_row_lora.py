import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from cluster.serving.adapter import Adapter, LoraPair
from cluster.serving.row_lora import RowLora

CPU = torch.device("cpu")


def _model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 5))


def _adapter(digest: str, rank: int, layers: tuple[str, ...] = ("0", "2"), scale: float = 1.0) -> Adapter:
    generator = torch.Generator().manual_seed(rank)
    shapes = {"0": (6, 8), "2": (8, 5)}
    return Adapter(
        digest,
        {
            name: LoraPair(
                torch.randn(shapes[name][0], rank, generator=generator) * scale,
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
        return out if pair is None else out + x @ pair.down @ pair.up

    return layer(second, "2", layer(first, "0", x).tanh())


def test_each_row_gets_its_own_adapters_update() -> None:
    model = _model()
    rows = RowLora(model, ["0", "2"])
    a, b, c = _adapter("a", 3), _adapter("b", 5, ("0",)), _adapter("c", 1, ("2",))
    for num_tokens in (4, 40):
        x = torch.randn(7, num_tokens, 6)
        # Sets that overlap come one after the other, because stacked ones are kept.
        for assigned in (
            [a, b, a, b, a, b, None],
            [c, b, c, b, c, b, None],
            [a, None, b, a, c, None, a],
            [a] * 7,
            [None] * 7,
            [b, c, b, c, b, c, None],
        ):
            rows.assign(assigned, CPU, num_tokens=num_tokens)
            out = model(x)
            for row, adapter in enumerate(assigned):
                torch.testing.assert_close(out[row], _alone(adapter, x[row]))


def test_rows_without_an_adapter_are_bit_equal_to_the_base() -> None:
    model = _model()
    x = torch.randn(3, 4, 6)
    base = model(x)
    rows = RowLora(model, ["0", "2"])
    rows.assign([_adapter("a", 3), None, _adapter("b", 2)], CPU)
    assert torch.equal(model(x)[1], base[1])


def test_an_adapter_that_overflows_touches_no_other_row() -> None:
    model = _model()
    rows = RowLora(model, ["0", "2"])
    x = torch.randn(4, 4, 6)
    a = _adapter("a", 3)
    outs = []
    for scale in (1.0, 1e38):
        rows.assign([a, _adapter(f"wild-{scale}", 2, scale=scale), None, a], CPU)
        outs.append(model(x))
    assert not outs[1][1].isfinite().all()
    assert torch.equal(outs[0][[0, 2, 3]], outs[1][[0, 2, 3]])


def test_a_set_of_adapters_is_known_by_digest_even_when_loaded_anew() -> None:
    model = _model()
    rows = RowLora(model, ["0", "2"])
    x = torch.randn(2, 1, 6)
    rows.assign([_adapter("a", 3), None], CPU)
    before = model(x)
    rows.forget()
    rows.assign([_adapter("a", 3), None], CPU)
    assert torch.equal(model(x), before)


def test_flattened_tokens_get_their_rows_updates() -> None:
    model = _model()
    rows = RowLora(model, ["0", "2"])
    x = torch.randn(3, 4, 6)
    assigned = [_adapter("a", 3), None, _adapter("b", 5, ("0",))]
    rows.assign(assigned, CPU)
    flat = model(x.flatten(0, 1)).view(3, 4, 5)
    torch.testing.assert_close(flat, model(x))
    torch.testing.assert_close(flat[2], _alone(assigned[2], x[2]))


def test_a_transposed_layer_is_adapted_alike() -> None:
    plain = nn.Sequential(nn.Linear(6, 8))
    transposed = nn.Sequential(Conv1D(8, 6))
    transposed[0].weight.data = plain[0].weight.data.T.clone()
    transposed[0].bias.data = plain[0].bias.data
    x = torch.randn(2, 4, 6)
    outs = []
    for model in (plain, transposed):
        rows = RowLora(model, ["0"])
        assert rows.shapes == {"0": (6, 8)}
        rows.assign([None, _adapter("a", 3, ("0",))], CPU)
        outs.append(model(x))
    torch.testing.assert_close(*outs)


def test_half_precision_output_keeps_its_type() -> None:
    model = _model().to(torch.bfloat16)
    rows = RowLora(model, ["0", "2"])
    rows.assign([_adapter("a", 3), None], CPU)
    assert model(torch.randn(2, 1, 6, dtype=torch.bfloat16)).dtype == torch.bfloat16
