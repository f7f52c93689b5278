"""The base's tokenizer, as training and its files use it."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from cluster.bases.resolve import base_folder
from cluster.contracts.bases import BaseSpec


def load_tokenizer(base: BaseSpec) -> Any:
    """The base's tokenizer, kept for the next call; code of the model's repository is never run."""
    return _tokenizer(base_folder(base))


@lru_cache(maxsize=8)
def _tokenizer(folder: Path) -> Any:
    # Here, because it takes seconds to import and most of the cluster's processes never need it.
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
