import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from cluster.contracts.errors import CorruptArtefact, InvalidRequest
from cluster.serving.weights.adapter import Adapter, Prefix
from cluster.serving.weights.lora_files import read_adapter

CPU = torch.device("cpu")
LAYER = "model.layers.0.self_attn.q_proj"
SHAPES = {LAYER: (32, 24)}
CONFIG = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "bias": "none"}
A, B = (f"base_model.model.{LAYER}.lora_{half}.weight" for half in "AB")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(tensors: dict[str, torch.Tensor] | None = None, **config: Any) -> Path:
        good = {A: torch.randn(4, 32), B: torch.randn(24, 4)}
        save_file(good if tensors is None else tensors, tmp_path / "adapter_model.safetensors")
        (tmp_path / "adapter_config.json").write_text(json.dumps(CONFIG | config))
        return tmp_path

    return write


def test_the_scale_is_alpha_over_r_and_over_its_root_for_rslora(write: Callable[..., Path]) -> None:
    for config, scale in [({}, 2.0), ({"use_rslora": True}, 4.0), ({"alpha_pattern": {"q_proj": 2}}, 0.5)]:
        folder = write(**config)
        pair = read_adapter(folder, "d", SHAPES, CPU).pairs[LAYER]
        tensors = load_file(folder / "adapter_model.safetensors")
        assert torch.equal(pair.down, tensors[A])
        torch.testing.assert_close(pair.up, tensors[B].T * scale)


@pytest.mark.parametrize(
    "config",
    [
        {"use_dora": True},
        {"bias": "all"},
        {"modules_to_save": ["lm_head"]},
        {"lora_bias": True},
        {"trainable_token_indices": [3]},
        {"layer_replication": [[0, 1]]},
        {"init_lora_weights": "pissa"},
        {"some_option_of_tomorrow": 1},
        {"peft_type": "IA3"},
    ],
)
def test_anything_but_plain_lora_is_refused(write: Callable[..., Path], config: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="not plain LoRA"):
        read_adapter(write(**config), "d", SHAPES, CPU)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({A: torch.zeros(4, 31), B: torch.zeros(24, 4)}, "this base needs"),
        ({A: torch.zeros(4, 32), B: torch.zeros(23, 4)}, "this base needs"),
        ({A: torch.zeros(4, 32), B: torch.zeros(24, 5)}, "this base needs"),
        ({A: torch.zeros(6, 32), B: torch.zeros(24, 6)}, "rank 6; its configuration says 4"),
        ({A: torch.zeros(4, 32)}, "only half"),
        (
            {A.replace("q_proj", "z_proj"): torch.zeros(4, 32)},
            "cannot adapt row by row; it can be served merged",
        ),
        ({"base_model.model.lm_head.weight": torch.zeros(4, 32)}, "not plain LoRA"),
        ({}, "no weights"),
    ],
)
def test_weights_of_another_shape_or_place_are_refused(
    write: Callable[..., Path], tensors: dict[str, torch.Tensor], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        read_adapter(write(tensors), "d", SHAPES, CPU)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(write: Callable[..., Path], value: float) -> None:
    spoiled = torch.zeros(24, 4)
    spoiled[3, 1] = value
    with pytest.raises(CorruptArtefact, match="not finite"):
        read_adapter(write({A: torch.zeros(4, 32), B: spoiled}), "d", SHAPES, CPU)


def test_files_that_cannot_be_read_are_corrupt(write: Callable[..., Path]) -> None:
    folder = write()
    (folder / "adapter_model.safetensors").write_bytes(b"\x80\x04 a pickle")
    with pytest.raises(CorruptArtefact):
        read_adapter(folder, "d", SHAPES, CPU)
    (folder / "adapter_config.json").write_text("[]")
    with pytest.raises(CorruptArtefact):
        read_adapter(folder, "d", SHAPES, CPU)


def test_an_adapter_tells_how_much_memory_it_takes(write: Callable[..., Path]) -> None:
    lora = read_adapter(write(), "d", SHAPES, CPU)
    assert lora.num_bytes == 4 * (4 * 32 + 24 * 4)
    states = [torch.zeros(2, 5, 8, dtype=torch.bfloat16)] * 3
    assert Adapter("d", prefix=Prefix(states, states)).num_bytes == 2 * 3 * 2 * (2 * 5 * 8)
