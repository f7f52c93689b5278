"""The parts of a model that read images or sound. Text does not pass through them."""

from typing import Any

from torch import nn


def layers_outside_text(model: Any) -> frozenset[str]:
    """Returns the names of the linear layers that `model`, a causal model of transformers, has besides its
    text model and head.

    They often have the same names as those of the text model, so that adapters and quantization would confuse
    the two."""
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
    """Freezes the parts of a model that text does not reach."""
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
