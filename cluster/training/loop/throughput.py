"""Measures the speed of a run, the remaining time, and how much of the device is used."""

import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from cluster.planning.accelerators import peak_of
from cluster.training.data.batches import Batcher
from cluster.training.data.dataset import Indices

FORWARD_SHARE = 1 / 3
"""The cost of a token that is only scored (forward without backward), relative to one that is trained on."""


class Throughput:
    """Measures work in tokens that are trained on. A token that is only scored counts as FORWARD_SHARE of
    one, so that one number says how much is done and how much is left."""

    def __init__(self, work: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`work` is the work of the whole attempt."""
        self._clock = clock
        self._left = work
        self._began = clock()
        self._done = 0.0
        self._tokens = 0
        self._flops = 0.0

    def add_trained(self, tokens: int, flops: float) -> None:
        self._tokens += tokens
        self._flops += flops
        self._advance(tokens)

    def add_scored(self, tokens: int) -> None:
        self._advance(tokens * FORWARD_SHARE)

    def _advance(self, work: float) -> None:
        self._done += work
        self._left -= work

    @property
    def seconds(self) -> float:
        return max(self._clock() - self._began, 1e-9)

    @property
    def tokens_per_second(self) -> float:
        return self._tokens / self.seconds

    @property
    def eta_seconds(self) -> float:
        return self.seconds / self._done * max(0.0, self._left)

    def mfu(self, peak_flops: float | None) -> float | None:
        """Returns the model FLOPs utilisation (Chowdhery et al., 2022, arXiv:2204.02311, appendix B). Counts
        only what training needs: no gradients of frozen weights, no recomputation, and the head only at
        learned positions. None if the peak is unknown."""
        return None if peak_flops is None else self._flops / self.seconds / peak_flops


def peak_flops(device: torch.device, workers: int) -> float | None:
    """Returns the bf16 FLOP/s of all workers' devices together; None for a device whose peak is unknown."""
    if device.type != "cuda":
        return None
    peak = peak_of(torch.cuda.get_device_name(device))
    return None if peak is None else peak * workers


def flop_counter(model: Any, *, is_full: bool) -> "FlopCounter | None":
    """Returns None for a model whose shape is not understood: a job must not fail because of a figure for
    display."""
    try:
        return FlopCounter(model, is_full=is_full)
    except Exception:  # A family's configuration may raise any error for a number it lacks.
        return None


class FlopCounter:
    """Counts the FLOPs that training on given examples needs, from the model's shape."""

    def __init__(self, model: Any, *, is_full: bool) -> None:
        config = model.config.get_text_config()
        heads = getattr(config, "num_attention_heads", 1)
        width = getattr(config, "head_dim", None) or config.hidden_size // heads
        head = model.get_output_embeddings()
        embeddings = {id(p) for m in (model.get_input_embeddings(), head) if m for p in m.parameters()}
        experts = getattr(config, "num_experts", None) or getattr(config, "num_local_experts", None)
        used = 1.0 if experts is None else config.num_experts_per_tok / experts
        linear = sum(
            elements(p) * (used if p.ndim == 3 else 1.0)
            for p in model.parameters()
            if p.ndim >= 2 and id(p) not in embeddings
        )
        self.per_token = 2.0 * linear
        """FLOPs per token of a forward pass through the linear layers."""
        self._per_pair = 4.0 * heads * width * config.num_hidden_layers / 2
        """FLOPs per pair of tokens in a sequence: two products, of which the causal mask leaves half."""
        self._per_target = 0.0 if head is None else 2.0 * config.vocab_size * config.hidden_size
        # The backward pass costs as much as one forward for activations, and as much again for trainable
        # weights.
        self._passes = 3.0 if is_full else 2.0

    def __call__(self, batcher: Batcher, examples: Indices) -> float:
        pairs = batcher.n_pairs(examples)
        forward = self.per_token * batcher.n_tokens(examples) + self._per_target * batcher.n_learned(examples)
        # Attention has no weights, so its backward pass always costs as much as two forwards.
        return float(self._passes * forward + 3 * self._per_pair * pairs)


def elements(parameter: torch.nn.Parameter) -> int:
    """Returns the number of elements, also of a weight that bitsandbytes packs in 4 bits."""
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else int(state.shape.numel())


def memory_bytes(device: torch.device) -> int:
    """Returns the peak memory so far: of the GPU, or the resident memory of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
