"""Models from disk: the one place where weights are read, and what is never allowed of them."""

from pathlib import Path
from typing import Any

import torch

from cluster.bases.four_bits import in_four_bits


def load_pretrained(kind: Any, folder: Path, dtype: torch.dtype, **options: Any) -> Any:
    """`kind` is one of transformers' Auto classes. Safetensors only, no code of the folder's, no network."""
    return kind.from_pretrained(
        folder,
        dtype=dtype,
        trust_remote_code=False,
        use_safetensors=True,
        local_files_only=True,
        **options,
    )


def load_dequantized(kind: Any, folder: Path, dtype: torch.dtype, device: torch.device) -> Any:
    """The same with weights that went through 4 bits, as QLoRA trains on them."""
    return load_pretrained(kind, folder, dtype, **in_four_bits(dtype, device)).dequantize()
