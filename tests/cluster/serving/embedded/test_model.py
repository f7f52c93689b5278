"""A runner is chosen by parity checks, and a model that passes none is refused."""

import itertools
import math
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPTNeoConfig, GPTNeoForCausalLM, MambaConfig, MambaForCausalLM

from cluster.contracts.errors import CorruptArtefact, InvalidConfiguration, InvalidRequest
from cluster.serving.embedded.attention import Attention, read_attention
from cluster.serving.embedded.batched import BatchedRunner
from cluster.serving.embedded.lora.adapted_model import AdaptedModel
from cluster.serving.embedded.model import find_runner, load_model
from cluster.serving.embedded.parity_check import parity_error, tolerance
from cluster.serving.embedded.per_row import PerRowRunner
from cluster.serving.weights.adapter import Adapter, LoraPair
from tests.cluster.serving.conftest import Serve
from tests.families import WINDOW, make_family
from tests.family_support import DECODERS, ENCODERS, PER_ROW, REPRESENTATIVES
from tests.tiers import sampled

pytestmark = pytest.mark.slow

LENGTH = WINDOW + 8


def _load(name: str, folder: Path, dtype: str = "float32") -> AdaptedModel:
    make_family(name, folder)
    return AdaptedModel(load_model(folder, dtype=dtype, device=torch.device("cpu")))


def _made(model: Any) -> AdaptedModel:
    return AdaptedModel(model.eval().requires_grad_(False))


def test_a_forward_pass_keeps_no_adapter_in_memory(tmp_path: Path) -> None:
    model = _load("llama", tmp_path)
    name, (width, height) = next(iter(model.shapes.items()))
    adapter = Adapter("a", {name: LoraPair(torch.ones(2, width), torch.ones(2, height))})
    with torch.inference_mode():
        changed = model.forward([[5, 6]], [adapter])
        assert not torch.equal(changed, model.forward([[5, 6]], [None]))
        model.forward([[5, 6]], [adapter])
    alive = weakref.ref(adapter)
    del adapter
    assert alive() is None


@pytest.mark.parametrize(
    ("name", "dtype"),
    sampled(
        itertools.product(DECODERS, ("float32", "bfloat16")),
        [(name, "float32") for name in DECODERS] + [(name, "bfloat16") for name in REPRESENTATIVES],
    ),
)
def test_every_family_is_decoded_in_batches_if_its_rows_can_be(name: str, dtype: str, tmp_path: Path) -> None:
    runner = find_runner(_load(name, tmp_path, dtype), max_rows=4, max_length=128)
    assert isinstance(runner, PerRowRunner if name in PER_ROW else BatchedRunner)


def test_a_window_outside_of_the_mask_fails_the_parity_check() -> None:
    """GPT-Neo's local layers count their window from the end of the cache, which belongs to another row."""
    config = GPTNeoConfig(
        vocab_size=352,
        hidden_size=32,
        num_layers=2,
        num_heads=4,
        attention_types=[[["global", "local"], 1]],
        window_size=WINDOW,
        initializer_range=0.2,
    )
    assert isinstance(find_runner(_made(GPTNeoForCausalLM(config)), max_rows=4, max_length=128), PerRowRunner)


def test_a_model_that_fails_every_parity_check_is_refused() -> None:
    config = MambaConfig(vocab_size=352, hidden_size=32, num_hidden_layers=2, state_size=4)
    with pytest.raises(InvalidConfiguration, match="mamba"):
        find_runner(_made(MambaForCausalLM(config)), max_rows=4, max_length=128)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["mistral", "gemma2"])
def test_a_wrong_window_exceeds_the_tolerance(name: str, dtype: str, tmp_path: Path) -> None:
    model = _load(name, tmp_path, dtype)
    right = read_attention(model.config, model.dtype)
    assert right is not None
    wrong = Attention(dict.fromkeys(right.windows), right.bias_dtype)
    errors = [
        parity_error(BatchedRunner(model, attention, max_rows=2, max_length=LENGTH), model, LENGTH)
        for attention in (right, wrong)
    ]
    assert errors[0] < tolerance(model.dtype) < errors[1]


def test_weights_that_give_non_finite_numbers_are_corrupt(tmp_path: Path) -> None:
    make_family("llama", tmp_path)
    model = load_model(tmp_path, dtype="float32", device=torch.device("cpu"))
    model.lm_head.weight.data[3] = math.inf
    with pytest.raises(CorruptArtefact, match="not finite"):
        find_runner(AdaptedModel(model), max_rows=4, max_length=128)


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_is_not_loaded_for_generation(serve: Serve, name: str, tmp_path: Path) -> None:
    served = serve(base=make_family(name, tmp_path / name))
    with pytest.raises(InvalidRequest, match="writes no text") as refused:
        served.ask(served.request())
    assert refused.value.code == "not_a_generator"
