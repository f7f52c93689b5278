"""A base that cannot work is told apart by its configuration and the headers of its files."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from cluster.bases.fit import check_trainable, check_usable
from cluster.contracts.errors import MODEL_NOT_AVAILABLE, InvalidConfiguration, Unavailable
from cluster.training.failure import failed_state
from tests.families import FAMILIES, make_family
from tests.family_support import ENCODERS

pytestmark = pytest.mark.slow

Tensors = dict[str, torch.Tensor]


def configured(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def stored(folder: Path, change: Callable[[Tensors], Any]) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, {"format": "pt"})


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_can_work(family: str, tmp_path: Path) -> None:
    base = make_family(family, tmp_path)
    if family in ENCODERS:
        stored(tmp_path, lambda tensors: [tensors.pop(name) for name in list(tensors) if "pooler" in name])
    check_trainable(base, tmp_path)
    check_usable(base, tmp_path)


ROW = "model.layers.1.mlp.down_proj.weight"

BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no JSON": (lambda folder: (folder / "config.json").write_text("{"), "config.json"),
    "an unknown family": (lambda folder: configured(folder, model_type="unheard_of"), "unheard_of"),
    "an encoder": (lambda folder: configured(folder, model_type="vit"), "make a model of its config.json"),
    "impossible sizes": (lambda folder: configured(folder, num_attention_heads=0), "config.json"),
    "other sizes": (
        lambda folder: configured(folder, intermediate_size=96),
        r"layers.0.mlp.down_proj.weight as \(32, 64\), and its config.json as \(32, 96\), and 5 more",
    ),
    "more layers": (
        lambda folder: configured(folder, num_hidden_layers=3),
        "its files lack model.layers.2.input_layernorm.weight, .* and 6 more",
    ),
    "a missing weight": (lambda folder: stored(folder, lambda found: found.pop(ROW)), f"lack {ROW}"),
    "bytes": (
        lambda folder: stored(folder, lambda found: found.update({ROW: found[ROW].to(torch.int8)})),
        f"{ROW} as I8",
    ),
    "no safetensors file": (
        lambda folder: (folder / "model.safetensors").write_bytes(b"\0\1"),
        "model.safetensors is cut short, or no safetensors file",
    ),
    "cut short": (
        lambda folder: os.truncate(folder / "model.safetensors", 20_000),
        "model.safetensors is cut short",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_base_is_refused_with_the_reason_and_never_retried(how: str, tmp_path: Path) -> None:
    base = make_family("llama", tmp_path)
    breaks, reason = BROKEN[how]
    breaks(tmp_path)
    with pytest.raises(InvalidConfiguration, match=reason) as refused:
        check_trainable(base, tmp_path)
    state = failed_state(refused.value)
    assert (state.code, state.param, state.is_user_fault) == (MODEL_NOT_AVAILABLE, "model", True)
    assert str(tmp_path.parent) not in state.message
    with pytest.raises(Unavailable, match=reason):
        check_usable(base, tmp_path)


def test_quantized_weights_are_served_and_not_trained(tmp_path: Path) -> None:
    base = make_family("gpt_oss", tmp_path)
    configured(tmp_path, quantization_config={"quant_method": "mxfp4"})
    stored(tmp_path, lambda tensors: tensors.clear())
    check_usable(base, tmp_path)
    with pytest.raises(InvalidConfiguration, match=r"stored quantized \(mxfp4\).*dequantize\(\)"):
        check_trainable(base, tmp_path)


def test_tensors_that_no_model_needs_do_no_harm(tmp_path: Path) -> None:
    made = make_family("llama", tmp_path)
    stored(tmp_path, lambda tensors: tensors.update({"inv_freq": torch.zeros(3)}))
    check_trainable(made, tmp_path)
