"""The parts of a model that read images or sound. Text passes them by."""

from typing import Any

from torch import nn


def layers_outside_text(model: Any) -> frozenset[str]:
    """The names of the linear layers that `model`, a causal model of transformers, has besides its text model
    and head.

    They are often named as the text model's are, so that adapters and quantization would take them for
    those."""
    if not _has_towers(model):
        return frozenset()
    from transformers.pytorch_utils import Conv1D

    text = _of_text(model)
    return frozenset(
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module not in text
    )


def freeze_towers(model: Any) -> None:
    """Keeps what text does not reach from being trained."""
    if not _has_towers(model):
        return
    trained = {parameter for module in _of_text(model) for parameter in module.parameters(recurse=False)}
    for parameter in model.parameters():
        if parameter not in trained:
            parameter.requires_grad_(False)


def _has_towers(model: Any) -> bool:
    return model.config.get_text_config() is not model.config


def _of_text(model: Any) -> set[nn.Module]:
    return {*model.get_decoder().modules(), model.get_output_embeddings()}
