"""Weights of tuned models: the public objects."""

from typing import Literal

from service.api.schemas.base import Answer


class WeightsFileObject(Answer):
    filename: str
    bytes: int
    sha256: str
    """Hex digest."""


class ModelWeights(Answer):
    """The files of a tuned model's weights."""

    object: Literal["model.weights"] = "model.weights"
    model: str
    base: str
    """Id of the base model."""
    form: Literal["adapter", "prefix", "full", "gguf"]
    """`adapter`: a folder for PEFT. `full`: a folder for transformers. `prefix`: keys and values that precede
    every prompt. `gguf`: files for llama.cpp."""
    bytes: int
    """Total size of all files, in bytes."""
    files: list[WeightsFileObject]
