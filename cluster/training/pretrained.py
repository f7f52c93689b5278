"""Models from disk: the one place where weights are read, and what is never allowed of them."""

from pathlib import Path
from typing import Any

import torch


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
