"""The base's tokenizer for training and for compiling files."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from cluster.bases.pretrained import LOADING, read_tokenizer
from cluster.bases.resolve import tokenizer_folder
from cluster.bases.text.vocabulary import Vocabulary
from cluster.contracts.bases import BaseSpec


def load_tokenizer(base: BaseSpec) -> Any:
    """Loads the base's tokenizer, or returns it from a cache. Never runs code from the model's repository."""
    folder = tokenizer_folder(base)
    with LOADING:
        return _tokenizer(folder)


def load_vocabulary(base: BaseSpec) -> Vocabulary:
    """Returns the bytes of the base's tokens."""
    folder = tokenizer_folder(base)
    with LOADING:
        return _vocabulary(folder)


@lru_cache(maxsize=8)
def _vocabulary(folder: Path) -> Vocabulary:
    return Vocabulary(_tokenizer(folder))


@lru_cache(maxsize=8)
def _tokenizer(folder: Path) -> Any:
    return read_tokenizer(folder)
