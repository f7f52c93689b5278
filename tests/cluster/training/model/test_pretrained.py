from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from cluster.contracts.errors import CorruptArtefact
from cluster.serving.embedded.model import load_model
from cluster.training.model.pretrained import load_pretrained
from tests.tiny_base import make_tiny_base


def test_weights_that_a_folder_lacks_are_never_made_up(tmp_path: Path) -> None:
    make_tiny_base(tmp_path)
    (file,) = tmp_path.glob("*.safetensors")
    weights = load_file(file)
    lost = next(name for name in weights if name.endswith("q_proj.weight"))
    del weights[lost]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(CorruptArtefact, match=f"lack the weights {lost}"):
        load_pretrained(AutoModelForCausalLM, tmp_path, torch.float32)
    with pytest.raises(CorruptArtefact, match=f"lack the weights {lost}"):
        load_model(tmp_path, dtype="float32", device=torch.device("cpu"))
