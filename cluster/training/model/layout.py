"""Finds how a model can be run by checking a few tokens, instead of looking up the name of its family."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cluster.contracts.errors import InvalidConfiguration
from cluster.training.data.batches import Layout
from cluster.training.model import attention
from cluster.training.model.attention import Segments
from cluster.training.model.head import Head, logits_of

_LENGTHS = [7, 11, 5]
_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 3e-2}
"""The largest relative difference of logits that counts as rounding. If an example sees its neighbour, logits
differ by 0.1 or more."""


_LACKS_ABILITY = (NotImplementedError, ValueError)
"""Exceptions that transformers and our attention raise for what a family cannot do. Any other error is
unexpected."""

logger = logging.getLogger(__name__)


class CheckedLayout(NamedTuple):
    layout: Layout
    attention: str
    """The implementation's name in transformers."""
    head: Head
    notes: list[str]
    """Messages to the job's owner about what the model cannot do and what is done instead."""


@torch.no_grad()
def check_layout(model: Any, *, packing: bool) -> CheckedLayout:
    """Chooses and sets the causal model's attention, and the layout of batches and the head that go with it.

    The reference is the family's own eager attention on each example alone. Raises InvalidConfiguration if
    the model cannot be run at all."""
    was_training = model.training
    model.eval()
    examples = _examples(model)
    expected = torch.cat([_reference(model, tokens) for tokens in examples], 1)
    notes: list[str] = []
    layout: Layout = "padded"
    name = attention.IMPLEMENTATION
    if packing:
        with _surprises(notes, "Examples are padded, not packed"):
            layout = "packed" if _packs(model, examples, expected) else "padded"
            if layout == "padded":
                notes.append(
                    f"Examples are padded, not packed: models of type {model.config.model_type} mix up "
                    "examples that share a row."
                )
    if layout == "padded":
        name = "eager"
        with _surprises(notes, "The family's own attention is used, not torch's"):
            name = choose_attention(model)
    head = head_of(model, notes)
    model.train(was_training)
    return CheckedLayout(layout, name, head, notes)


@contextmanager
def _surprises(notes: list[str], instead: str) -> Iterator[None]:
    """Ends the block at an error that no check expects, logs it, and tells the job's owner what is done
    `instead`: a slower path that works must not hide that a faster one is broken."""
    try:
        yield
    except (torch.OutOfMemoryError, InvalidConfiguration):
        raise
    except Exception as error:
        logger.exception("A check of what the model can do failed.")
        notes.append(f"{instead}: the check failed unexpectedly ({type(error).__name__}).")


def _examples(model: Any) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    rows = model.get_input_embeddings().weight.shape[0]
    return [torch.randint(rows, (1, length), generator=generator).to(model.device) for length in _LENGTHS]


def _reference(model: Any, token_ids: Tensor) -> Tensor:
    model.set_attn_implementation("eager")
    logits: Tensor = model(input_ids=token_ids, use_cache=False).logits
    if not bool(logits.isfinite().all()):
        raise InvalidConfiguration(
            f"The base of type {model.config.model_type} gives numbers that are not finite."
        )
    return logits


def _packs(model: Any, examples: list[Tensor], expected: Tensor) -> bool:
    """Whether our attention keeps the examples in a row apart and receives every sliding window."""
    kinds = getattr(model.config.get_text_config(), "layer_types", None) or []
    if not set(kinds) <= {"full_attention", "sliding_attention"}:
        return False  # A few tokens do not show how far chunks and states reach.
    segments = Segments.of(_LENGTHS, model.device)
    places = torch.cat([torch.arange(length, device=model.device) for length in _LENGTHS])
    attention.register()
    try:
        model.set_attn_implementation(attention.IMPLEMENTATION)
        logits = model(
            input_ids=torch.cat(examples, 1), position_ids=places[None], segments=segments, use_cache=False
        ).logits
    except _LACKS_ABILITY:
        return False
    except TypeError as error:
        if "segments" in str(error) or "position_ids" in str(error):
            return False  # The family's forward takes no such argument.
        raise
    return is_close(logits, expected) and _windows_seen(segments) == _windows_expected(model)


def _windows_seen(segments: Segments) -> int:
    return sum(window is not None for window in segments.windows)


def _windows_expected(model: Any) -> int:
    config = model.config.get_text_config()
    kinds = getattr(config, "layer_types", None)
    if kinds is not None:
        return sum(kind == "sliding_attention" for kind in kinds)
    return 0 if getattr(config, "sliding_window", None) is None else config.num_hidden_layers


@torch.no_grad()
def choose_attention(model: Any) -> str:
    """Sets the attention for rows of one example, and returns its name: torch's fused attention if the family
    computes the same result with it, otherwise the family's own."""
    token_ids = _examples(model)[0]
    expected = _reference(model, token_ids)
    is_same = False
    try:
        model.set_attn_implementation("sdpa")
        is_same = is_close(model(input_ids=token_ids, use_cache=False).logits, expected)
    except _LACKS_ABILITY:
        pass
    finally:
        if not is_same:
            model.set_attn_implementation("eager")
    return "sdpa" if is_same else "eager"


@torch.no_grad()
def head_of(model: Any, notes: list[str] | None = None) -> Head:
    """Returns the head apart from the decoder if the two compute the same as the model's own forward;
    otherwise the head inside the model. Adds a message to `notes` if the check itself failed."""
    with _surprises([] if notes is None else notes, "The model computes all logits, not only those needed"):
        return Head(is_apart=_is_head_apart(model))
    return Head(is_apart=False)


def _is_head_apart(model: Any) -> bool:
    if not hasattr(model, "get_decoder"):
        return False
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    if decoder is None or not isinstance(head, torch.nn.Linear):
        return False
    token_ids = _examples(model)[0]
    expected = model(input_ids=token_ids, use_cache=False).logits
    hidden = decoder(input_ids=token_ids, use_cache=False).last_hidden_state
    return hidden.shape[-1] == head.in_features and is_close(logits_of(model, hidden), expected)


def is_close(found: Tensor, expected: Tensor) -> bool:
    """Whether the norm of the difference is a small share of the norm."""
    dtype = torch.bfloat16 if expected.dtype != torch.float32 else torch.float32
    found, expected = found.float(), expected.float()
    return bool((found - expected).norm() <= _TOLERANCE[dtype] * expected.norm())
