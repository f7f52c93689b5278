"""Random LoRA adapters of a base, made without its weights."""

from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from cluster.bases.pretrained import read_config
from cluster.bases.resolve import base_folder
from cluster.contracts.bases import BaseSpec
from cluster.contracts.weights import WeightsRef
from cluster.storage.local import LocalStore
from tests.cluster.serving.published import publish_folder

_RANK, _ALPHA = 16, 32
"""Those of `tests.benchmarks.training`."""
_SCALE = 0.02


def random_adapter(base: BaseSpec, folder: Path, *, seed: int) -> None:
    """Saves an adapter of all linear layers into `folder`, in PEFT's format."""
    config = LoraConfig(r=_RANK, lora_alpha=_ALPHA, target_modules="all-linear", task_type="CAUSAL_LM")
    with torch.device("meta"):
        model = get_peft_model(AutoModelForCausalLM.from_config(read_config(base_folder(base))), config)
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        name: _SCALE * torch.randn(tensor.shape, generator=generator)
        for name, tensor in get_peft_model_state_dict(model).items()
    }
    folder.mkdir(parents=True)
    model.peft_config["default"].save_pretrained(folder)
    save_file(tensors, folder / "adapter_model.safetensors")


def publish_random(base: BaseSpec, store: LocalStore, folder: Path) -> WeightsRef:
    """Puts the adapter in `folder` into storage, as training does."""
    return publish_folder(store, base, folder, job_id=f"ftjob-{folder.name}")
