"""Loads models from disk. This is the only place that reads weights, so the safety options are set here."""

from pathlib import Path
from typing import Any

import torch

from cluster.bases.four_bits import in_four_bits
from cluster.bases.pretrained import check_complete, read_config


def load_pretrained(
    kind: Any, folder: Path, dtype: torch.dtype, *, has_new_parts: bool = False, **options: Any
) -> Any:
    """Loads with `kind`, one of transformers' Auto classes: safetensors only, no code from the folder, no
    network. Raises CorruptArtefact if weights are missing, unless the model `has_new_parts`, such as a
    classifier's head, which are initialised at random."""
    model, loading = kind.from_pretrained(
        folder,
        dtype=dtype,
        trust_remote_code=False,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
        **options,
    )
    if not has_new_parts:
        check_complete(loading)
    return model


def load_dequantized(kind: Any, folder: Path, dtype: torch.dtype, device: torch.device) -> Any:
    """Loads like `load_pretrained`, with weights that are rounded to 4 bits and dequantized, as QLoRA trains
    on them."""
    return load_pretrained(
        kind, folder, dtype, **in_four_bits(read_config(folder), dtype, device)
    ).dequantize()
