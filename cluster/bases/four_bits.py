"""Loads a base in 4 bits for QLoRA: NF4 with double quantisation, https://arxiv.org/abs/2305.14314."""

from typing import Any

import torch


def in_four_bits(dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """Returns options for `from_pretrained` that load a model's linear layers in 4 bits and compute in
    `dtype`.

    The model's `dequantize()` turns them into ordinary weights with the same values. The model then computes
    the same, and takes the memory of one in full precision."""
    # Imported here because it takes seconds and few processes need it.
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": config, "device_map": {"": device}}
