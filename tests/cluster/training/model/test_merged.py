"""An adapter is merged a layer at a time, with the same result as PEFT's own merging of the whole model."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import get_peft_model
from torch import Tensor
from transformers import AutoModelForCausalLM

from cluster.contracts.bases import BaseSpec
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.training.model import merged
from cluster.training.model.adapters import peft_config
from cluster.training.model.full_precision import BaseFiles, in_full_precision
from cluster.training.model.merged import as_merged, stored_state, weight_from
from cluster.training.model.trainee import load_decoder

TOKENS = torch.arange(5, 17)[None]
ADAPTERS: dict[str, dict[str, Any]] = {
    "dora": {"use_dora": True},
    "ia3": {"type": "peft", "peft_config": {"peft_type": "IA3"}},
    "oft": {"type": "peft", "peft_config": {"peft_type": "OFT", "oft_block_size": 4}},
    "layer norms": {"type": "peft", "peft_config": {"peft_type": "LN_TUNING"}},
    "biases": {"type": "peft", "peft_config": {"peft_type": "LORA", "bias": "all"}},
}


def adapted(model: Any, config: TrainingConfig) -> Any:
    """The model with an adapter that has been trained, as far as one can tell."""
    wrapped = get_peft_model(model, peft_config(config, total_steps=10, task="CAUSAL_LM")).eval()
    torch.manual_seed(0)
    for parameter in wrapped.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float() + 0.05 * torch.randn(parameter.shape)
    return wrapped


@pytest.mark.parametrize("name", ADAPTERS)
def test_the_stored_weights_are_those_that_peft_merges(
    make_config: Callable[..., TrainingConfig], base: BaseSpec, name: str
) -> None:
    plain = AutoModelForCausalLM.from_pretrained(base.source.path, dtype=torch.float32)
    model = adapted(plain, make_config(**ADAPTERS[name]))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    expected = deepcopy(model).merge_and_unload()
    found = {key: stored.read() for key, stored in stored_state(model, weight_from(None)).items()}
    state = expected.state_dict()
    assert found.keys() == state.keys()
    for key, value in found.items():
        torch.testing.assert_close(value, state[key], atol=1e-6, rtol=1e-6)
    with torch.no_grad():
        logits = expected(TOKENS).logits
        with as_merged(model, torch.float32, weight_from(None)):
            torch.testing.assert_close(model(TOKENS).logits, logits, atol=1e-5, rtol=1e-5)
    after = model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


def test_what_is_stored_of_a_model_in_4_bits_is_in_full_precision(
    make_config: Callable[..., TrainingConfig], base: BaseSpec
) -> None:
    config, folder = make_config(type="qlora"), Path(base.source.path)
    model = adapted(load_decoder(folder, base, config, torch.device("cpu")), config)
    whole = adapted(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), config)
    trained = {key: value for key, value in model.state_dict().items() if "lora" in key}
    whole.load_state_dict(trained, strict=False)
    read = weight_from(BaseFiles(folder))
    with torch.no_grad():
        logits, rounded = whole(TOKENS).logits, model(TOKENS).logits
        with in_full_precision(model, folder, torch.float32):
            torch.testing.assert_close(model(TOKENS).logits, logits, atol=1e-5, rtol=1e-5)
        with as_merged(model, torch.float32, read):
            torch.testing.assert_close(model(TOKENS).logits, logits, atol=1e-5, rtol=1e-5)
        assert torch.equal(model(TOKENS).logits, rounded)
        assert not torch.allclose(rounded, logits, atol=1e-3)
    state = whole.merge_and_unload().state_dict()
    found = {key: stored.read() for key, stored in stored_state(model, read).items()}
    assert found.keys() == state.keys()
    for key, value in found.items():
        torch.testing.assert_close(value, state[key], atol=1e-6, rtol=1e-6)


def test_only_one_merged_layer_is_kept(
    make_config: Callable[..., TrainingConfig], base: BaseSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = AutoModelForCausalLM.from_pretrained(base.source.path, dtype=torch.float32)
    model = adapted(plain, make_config())
    merging, made = merged.merged_layer, []

    def merge(*args: Any) -> dict[str, Tensor]:
        made.append(args[0])
        return merging(*args)

    monkeypatch.setattr(merged, "merged_layer", merge)
    held: list[Any] = []
    for stored in stored_state(model, weight_from(None)).values():
        held.append(stored.read)
        stored.read()
    assert len(made) == len(set(made)) == 14
    kept = [read.func for read in held if isinstance(read.func, merged._Merging)]
    assert len({id(each) for each in kept}) == 1
    assert len(kept[0]._last) == 1
