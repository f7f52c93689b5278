"""Which examples make a step, and the tensors of its forward passes.

Everything here is a function of (seed, epoch, step), so that every worker knows the whole plan, a resumed run
goes on with the very same batches, and no token count has to be sent between workers.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from cluster.training.dataset import Dataset

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step of the whole gang."""

    number: int
    """From 0, over all epochs."""
    epoch: int
    ends_epoch: bool
    examples: Indices


@dataclass(frozen=True, slots=True)
class Microbatch:
    """Examples of one forward pass, padded at the end: no real token of a causal model sees the padding, so
    no attention mask is needed."""

    token_ids: torch.Tensor
    """int64 (B, T): every token but the last of each example."""
    positions: torch.Tensor
    """int64 (S,): where in the flattened (B * T) a learned token is predicted."""
    targets: torch.Tensor
    """int64 (S,): the learned tokens."""

    def to(self, device: torch.device) -> "Microbatch":
        if device.type == "cpu":
            return self
        return Microbatch(*(t.to(device) for t in (self.token_ids, self.positions, self.targets)))


class Schedule:
    """The steps of a run: `n_epochs` passes in a new order each, the last batch of a pass as it comes out."""

    def __init__(self, n_examples: int, *, batch_size: int, n_epochs: int, seed: int) -> None:
        self._n_examples, self._batch_size, self._seed = n_examples, batch_size, seed
        self.steps_per_epoch = -(-n_examples // batch_size)
        self.total_steps = n_epochs * self.steps_per_epoch

    def steps(self, start: int = 0) -> Iterator[Step]:
        """All steps from number `start` on."""
        for number in range(start, self.total_steps):
            epoch, place = divmod(number, self.steps_per_epoch)
            if place == 0 or number == start:
                order = np.random.default_rng((self._seed, epoch)).permutation(self._n_examples)
            yield Step(
                number=number,
                epoch=epoch,
                ends_epoch=place == self.steps_per_epoch - 1,
                examples=order[place * self._batch_size : (place + 1) * self._batch_size],
            )


class Batcher:
    """Cuts sets of examples into one worker's microbatches."""

    def __init__(
        self, dataset: Dataset, *, microbatch_tokens: int, rank: int = 0, world_size: int = 1
    ) -> None:
        self._dataset, self._microbatch_tokens = dataset, microbatch_tokens
        self._rank, self._world_size = rank, world_size
        self._lengths = dataset.lengths()
        starts = dataset.offsets[:-1]
        supervised = np.concatenate([[0], np.cumsum(dataset.mask)])
        self._supervised = supervised[dataset.offsets[1:]] - supervised[starts]

    def n_supervised(self, examples: Indices) -> int:
        """Learned tokens of `examples`, over all workers."""
        return int(self._supervised[examples].sum())

    def n_tokens(self, examples: Indices) -> int:
        return int(self._lengths[examples].sum())

    def microbatches(self, examples: Indices) -> Iterator[Microbatch]:
        """This worker's share of `examples`, sorted by length, of at most `microbatch_tokens` padded tokens
        each, or one example. Empty if there are fewer examples than workers."""
        by_length = examples[np.argsort(self._lengths[examples], kind="stable")]
        mine = by_length[self._rank :: self._world_size]
        start = 0
        for end in range(1, len(mine) + 1):
            is_full = end == len(mine) or (
                (end + 1 - start) * (self._lengths[mine[end]] - 1) > self._microbatch_tokens
            )
            if is_full:
                yield collate(self._dataset, mine[start:end])
                start = end


def collate(dataset: Dataset, examples: Indices) -> Microbatch:
    """Pads with token 0, which is never a target."""
    starts, ends = dataset.offsets[examples], dataset.offsets[examples + 1]
    width = int((ends - starts).max()) - 1
    token_ids = np.zeros((len(examples), width), dtype=np.int64)
    positions, targets = [], []
    for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
        token_ids[row, : end - start - 1] = dataset.token_ids[start : end - 1]
        learned = np.flatnonzero(dataset.mask[start + 1 : end])
        positions.append(row * width + learned)
        targets.append(dataset.token_ids[start + 1 + learned])
    return Microbatch(
        token_ids=torch.from_numpy(token_ids),
        positions=torch.from_numpy(np.concatenate(positions)),
        targets=torch.from_numpy(np.concatenate(targets).astype(np.int64)),
    )
