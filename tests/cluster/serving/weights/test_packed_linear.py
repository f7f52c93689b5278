import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from cluster.serving.embedded.model import served_dtype
from cluster.serving.weights.packed_linear import PackedLinear, has_bf16, pack_layers, packs

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", [nn.Linear, Conv1D])
@torch.inference_mode()
def test_a_packed_layer_computes_what_the_layer_does(kind: type[nn.Module], dtype: torch.dtype) -> None:
    if not packs(dtype, CPU):
        pytest.skip(f"this CPU or build packs no {dtype}")
    layer = kind(48, 32).to(dtype)
    model = nn.Sequential(layer)
    tokens = [
        torch.randn(*shape, 48 if kind is nn.Linear else 32, dtype=dtype) for shape in [(1,), (5,), (3, 7)]
    ]
    expected = [layer(x) for x in tokens]
    pack_layers(model, ["0"])
    assert isinstance(model[0], PackedLinear)
    for x, wanted in zip(tokens, expected, strict=True):
        torch.testing.assert_close(model(x), wanted)


def test_half_precision_is_served_where_the_cpu_has_it() -> None:
    assert served_dtype("bfloat16", CPU, cpu_has_bf16=True) == torch.bfloat16
    assert served_dtype("bfloat16", CPU, cpu_has_bf16=False) == torch.float32
    assert served_dtype("float32", CPU, cpu_has_bf16=True) == torch.float32
    assert served_dtype("bfloat16", torch.device("cuda"), cpu_has_bf16=False) == torch.bfloat16
    assert packs(torch.bfloat16, CPU) <= has_bf16()
