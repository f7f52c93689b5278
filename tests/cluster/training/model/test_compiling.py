import pytest
import torch

from cluster.contracts.errors import TrainingFailed
from cluster.training.model.compiling import compile_layers


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
