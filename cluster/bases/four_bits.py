"""Loads a base in 4 bits for QLoRA: NF4 with double quantisation, https://arxiv.org/abs/2305.14314."""

from typing import Any

import torch

from cluster.bases.bypassed import bypassed_layers
from cluster.bases.pretrained import LOADING
from cluster.bases.towers import layers_outside_text


def in_four_bits(config: Any, dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """Returns options for `from_pretrained` that load the linear layers of the causal model of `config` in 4
    bits, and compute in `dtype`. The head is not quantized, and neither are layers that the model or its text
    bypasses.

    The model's `dequantize()` turns them into ordinary weights with the same values. The model then computes
    the same, but takes the memory of a full-precision model."""
    from transformers import AutoModelForCausalLM

    with LOADING, torch.device("meta"):
        outline = AutoModelForCausalLM.from_config(config)
    return {"quantization_config": _options(outline, dtype), "device_map": {"": device}}


def layers_in_four_bits(model: Any) -> frozenset[str]:
    """Returns the names of the layers that `in_four_bits` loads in 4 bits. `model` is a transformers model
    without weights, whose layers this function replaces."""
    from bitsandbytes.nn import Linear4bit
    from transformers.quantizers.quantizer_bnb_4bit import Bnb4BitHfQuantizer

    quantizer = Bnb4BitHfQuantizer(_options(model, model.dtype), pre_quantized=False)
    quantizer.preprocess_model(model, dtype=model.dtype, device_map={"": "cpu"})
    return frozenset(name for name, module in model.named_modules() if isinstance(module, Linear4bit))


def rounded_to_four_bits(weight: torch.Tensor) -> torch.Tensor:
    """Quantizes the weight of a layer, [out, in], and dequantizes it in the weight's own type."""
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Params4bit

    kept = Params4bit(weight, requires_grad=False, compress_statistics=True, quant_type="nf4").to("cpu")
    rounded: torch.Tensor = dequantize_4bit(kept.data, kept.quant_state)
    return rounded.view(weight.shape)


def _options(model: Any, dtype: torch.dtype) -> Any:
    # Imported here because it takes seconds and few processes need it.
    from transformers import BitsAndBytesConfig
    from transformers.quantizers.base import get_keys_to_not_convert

    bypassed = bypassed_layers(model) | layers_outside_text(model)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        # A list replaces the library's own list, which contains the head.
        llm_int8_skip_modules=[*get_keys_to_not_convert(model), *bypassed] if bypassed else None,
    )
