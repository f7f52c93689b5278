"""Estimates what the blocks of a model keep for the backward pass, in bytes.

The counts are those of the tensors that autograd saves for one block of a Llama in this trainer's own passes,
with and without autocast; `make bench-plans` compares whole runs with them."""

from dataclasses import dataclass

from cluster.contracts.model_shape import ModelShape

_SCORE_BYTES = 10
"""Bytes for each pair of tokens and head if attention computes all scores: the scores before and after the
cap, and the weights in fp32 and in the type of the passes."""


@dataclass(frozen=True, slots=True)
class Precision:
    """Bytes per number in the passes."""

    stream: int
    """Bytes per number in the hidden states between blocks."""
    compute: int
    """Bytes per number in matrix products."""
    is_autocast: bool
    """Whether each layer makes its own copy of its input in the type of the products."""


def activation_bytes(
    shape: ModelShape,
    precision: Precision,
    *,
    is_full: bool,
    rank: int,
    trains_experts: bool,
    is_checkpointed: bool,
    is_offloaded: bool,
    tokens: int,
    longest: int,
) -> int:
    """Returns the bytes at the peak of a pass over `tokens` tokens, whose longest sequence has `longest`.
    `rank` is the adapter's; 0 without an adapter. `trains_experts`: whether the adapter changes experts, or
    they are trained themselves."""
    block = tokens * _kept_per_token(shape, precision, is_full=is_full, rank=rank)
    sent = tokens * shape.experts_per_token * shape.hidden_size * precision.compute
    # The outputs of experts, which are multiplied by the router's weights, and their inputs.
    block += (2 if trains_experts else 1) * sent
    if shape.has_full_scores:
        block += _SCORE_BYTES * shape.num_heads * tokens * longest
    masks = shape.masks * precision.compute * tokens * longest
    recurrent = 4 * shape.recurrent * tokens
    inputs = tokens * shape.hidden_size * precision.stream
    # The last norm, the head's input, and the gradients that flow through one block.
    passing = tokens * (
        (4 + 3 * precision.stream) * shape.hidden_size + 3 * precision.compute * shape.feed_forward_size
    )
    passing += 3 * sent + masks
    if is_checkpointed:
        # One block at a time is computed again.
        layers = sum(kind.count for kind in shape.cache if kind.state)
        return (
            block + recurrent // max(1, layers) + passing + inputs * (2 if is_offloaded else shape.num_layers)
        )
    return block * shape.num_layers + recurrent + passing


def _kept_per_token(shape: ModelShape, precision: Precision, *, is_full: bool, rank: int) -> int:
    stream, compute = precision.stream, precision.compute
    hidden, queries = shape.hidden_size, shape.query_size
    # Norms compute in fp32: a copy of the input if that is narrower, and, to train their weights, the result.
    norms = 2 * hidden * (4 + (stream if is_full else 0))
    attention = (2 * queries + max(shape.key_value_size, shape.repeated_size)) * compute
    feed_forward = (3 if shape.is_gated else 1) * shape.feed_forward_size * compute
    # Inputs of layers whose weights, or whose adapters, are trained.
    copies = 5 if shape.is_gated else 4
    inputs = 0
    if is_full or rank:
        shared = hidden * (copies if precision.is_autocast else 2)
        inputs = (shared + queries + shape.feed_forward_size) * compute
    return norms + attention + feed_forward + inputs + 7 * rank * compute
