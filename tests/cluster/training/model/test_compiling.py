import sys
from functools import partial

import pytest
import torch
from torch._dynamo.utils import counters
from transformers import LlamaConfig, LlamaForCausalLM

from cluster.contracts.errors import TrainingFailed
from cluster.training.model import attention
from cluster.training.model.compiling import compile_layers
from cluster.training.model.trainee import layers, save_memory


@pytest.mark.parametrize(
    ("device", "chosen", "said"),
    [
        ("cpu", None, r"needs a C\+\+ compiler, .* have none \(g\+\+ or clang\+\+\)"),
        ("cuda", None, r"needs a C compiler, .* have none \(gcc or clang or cc\)"),
        ("cuda", "our-cc", r"needs a C compiler, .* have none \(our-cc\)"),
    ],
)
def test_without_a_compiler_it_is_refused_before_the_first_pass(
    monkeypatch: pytest.MonkeyPatch, device: str, chosen: str | None, said: str
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for variable in ("CC", "CXX"):
        monkeypatch.delenv(variable, raising=False)
        if chosen is not None:
            monkeypatch.setenv(variable, chosen)
    with pytest.raises(TrainingFailed, match=said) as refused:
        compile_layers([torch.nn.Linear(2, 2)], torch.device(device))
    assert (refused.value.code, refused.value.param) == ("unsupported_option", "training.compile")


def test_a_layer_is_only_marked_until_its_first_pass() -> None:
    layer = torch.nn.Linear(2, 2)
    compile_layers([layer], torch.device("cpu"))
    assert layer._compiled_call_impl is not None


@pytest.mark.thorough
# torch.compile reads gradients that do not exist, which triggers this warning.
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
@pytest.mark.parametrize("mode", ["full", "offload"])
def test_checkpointed_layers_are_compiled_on_packed_rows(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """Dynamo's graphs are run as they are: compiling them to C++ would take longer and show no more."""
    monkeypatch.setenv("CXX", sys.executable)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_key_value_heads": 2}
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=16, num_hidden_layers=1, use_cache=False, **sizes)
    ).train()
    cpu = torch.device("cpu")
    attention.register()
    model.set_attn_implementation(attention.IMPLEMENTATION)
    save_memory(model, mode, cpu)
    token_ids, segments = torch.arange(9)[None], attention.Segments.of([5, 4], cpu)
    expected = model(token_ids, segments=segments).logits
    torch._dynamo.reset()
    counters.clear()
    compile_layers(layers(model), cpu, is_checkpointed=True)
    try:
        found = model(token_ids, segments=segments).logits
        found.sum().backward()
    finally:
        attention.register()
    torch.testing.assert_close(found, expected)
    assert counters["stats"]["unique_graphs"] > 0
