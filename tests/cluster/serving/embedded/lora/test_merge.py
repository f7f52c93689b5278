"""A merged adapter computes the same as an unmerged one, or is refused."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from cluster.bases.resolve import base_folder
from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import InvalidRequest
from cluster.serving.embedded.lora.merge import merged_model
from cluster.serving.embedded.model import load_model
from cluster.serving.weights.lora_files import read_adapter
from cluster.storage.local import LocalStore
from tests.cluster.serving.published import publish_lora
from tests.families import make_family

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
TEXT = torch.tensor([[5, 9, 3, 7, 11, 2, 8]])


def merge(base: BaseSpec, folder: Path) -> Any:
    return merged_model(
        partial(load_model, base_folder(base), dtype="float32", device=CPU),
        lambda shapes: read_adapter(folder, "digest", shapes, CPU),
    )


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_merged_weights_give_the_logits_of_peft(family: str, tmp_path: Path) -> None:
    base = make_family(family, tmp_path / "base")
    options = {"target_modules": "all-linear", "fan_in_fan_out": family == "gpt2"}
    publish_lora(LocalStore(tmp_path / "store"), base, tmp_path / "lora", seed=1, **options)
    beside = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base_folder(base), dtype=torch.float32), str(tmp_path / "lora")
    )
    with torch.inference_mode():
        expected = beside(input_ids=TEXT).logits
        found = merge(base, tmp_path / "lora")(input_ids=TEXT).logits
        untuned = load_model(base_folder(base), dtype="float32", device=CPU)(input_ids=TEXT).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (untuned - expected).abs().max() > 0.1


def test_weights_that_do_not_compute_the_same_are_refused(tmp_path: Path) -> None:
    base = make_family("llama", tmp_path / "base")
    publish_lora(LocalStore(tmp_path / "store"), base, tmp_path / "lora", seed=1, target_modules="all-linear")
    loads = 0

    def load() -> Any:
        nonlocal loads
        loads += 1
        model = load_model(base_folder(base), dtype="float32", device=CPU)
        if loads == 2:
            model.model.layers[0].mlp.up_proj.weight.data *= 1.5
        return model

    with pytest.raises(InvalidRequest, match="cannot be merged") as raised:
        merged_model(load, lambda shapes: read_adapter(tmp_path / "lora", "digest", shapes, CPU))
    assert raised.value.code == "not_mergeable"
