"""Loads a checkpoint from its files as serving does, so that it can be scored."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from cluster.bases.pretrained import read_config
from cluster.contracts.bases import WeightsForm
from cluster.training.checkpoints.export import DTYPES
from cluster.training.model.layout import choose_attention
from cluster.training.model.pretrained import load_dequantized, load_pretrained


class Prefixed(nn.Module):
    """A causal model that puts given keys and values before every sequence."""

    def __init__(self, model: Any, states: dict[str, Tensor]) -> None:
        """`states`: `keys.<layer>` and `values.<layer>`, each (key heads, tokens, head dimension)."""
        super().__init__()
        self.model = model
        self.config = model.config
        layers = range(len(states) // 2)
        self._states = [(states[f"keys.{n}"], states[f"values.{n}"]) for n in layers]

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.device
        return device

    def forward(self, input_ids: Tensor, **_: Any) -> Any:
        from transformers import DynamicCache

        rows, length = input_ids.shape
        before = self._states[0][0].shape[1]
        cache = DynamicCache()
        for layer, pair in enumerate(self._states):
            keys, values = (t.to(self.device, self.model.dtype).expand(rows, -1, -1, -1) for t in pair)
            cache.update(keys, values, layer)
        places = torch.arange(before, before + length, device=self.device).expand(rows, -1)
        return self.model(input_ids=input_ids, position_ids=places, past_key_values=cache, use_cache=True)


def load_served(folder: Path, form: WeightsForm, base: Path, dtype: str, device: torch.device) -> Any:
    """Loads the causal model in the checkpoint's `folder`, in evaluation mode. `base` is the folder of the
    weights that the job began with."""
    if form == "full":
        return load_causal(folder, dtype, device)
    model = load_causal(base, dtype, device, is_quantized=form == "qlora")
    if form == "prefix":
        return Prefixed(model, load_file(folder / "prefix.safetensors")).eval()
    from peft import PeftModel

    return PeftModel.from_pretrained(model, folder).eval()


@contextmanager
def unadapted(model: Any) -> Iterator[Any]:
    """The model that the adapter or prefix of a `load_served` model was put on."""
    if isinstance(model, Prefixed):
        yield model.model
    else:
        with model.disable_adapter():
            yield model


def load_causal(folder: Path, dtype: str, device: torch.device, *, is_quantized: bool = False) -> Any:
    """Loads a causal model without adapters, in evaluation mode. With `is_quantized`, its weights are rounded
    to 4 bits and dequantized."""
    from transformers import AutoModelForCausalLM

    if is_quantized:
        model = load_dequantized(AutoModelForCausalLM, folder, DTYPES[dtype], device)
    else:
        model = load_pretrained(AutoModelForCausalLM, folder, DTYPES[dtype])
    model = model.to(device).eval().requires_grad_(False)
    choose_attention(model)
    return model


def load_classifier(folder: Path, dtype: str, device: torch.device) -> Any:
    """Loads an encoder with its classification head, in evaluation mode."""
    from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

    architecture = read_config(folder).architectures[0]
    is_per_token = architecture.endswith("ForTokenClassification")
    kind = AutoModelForTokenClassification if is_per_token else AutoModelForSequenceClassification
    # Bases may lack parts that a classifier does not use, such as BERT's pooler.
    model = load_pretrained(kind, folder, DTYPES[dtype], has_new_parts=True)
    return model.to(device).eval().requires_grad_(False)
