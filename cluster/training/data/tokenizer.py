"""The base's tokenizer, as training and its files use it."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from cluster.bases.pretrained import LOADING, read_tokenizer
from cluster.bases.resolve import base_folder
from cluster.contracts.bases import BaseSpec


def load_tokenizer(base: BaseSpec) -> Any:
    """The base's tokenizer, kept for the next call; code of the model's repository is never run."""
    folder = base_folder(base)
    with LOADING:
        return _tokenizer(folder)


@lru_cache(maxsize=8)
def _tokenizer(folder: Path) -> Any:
    return read_tokenizer(folder)
