"""Chooses the examples of each step, and makes the tensors of its forward passes.

Everything here is a function of (seed, epoch, step). Every worker therefore knows the whole plan, a resumed
run continues with exactly the same batches, and workers need not exchange token counts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cluster.contracts.hyperparameters import TrainingConfig
from cluster.contracts.plan import CPU_PASS_TOKENS
from cluster.training.data.dataset import Dataset, Indices
from cluster.training.model.attention import Segments

Layout = Literal["packed", "padded", "masked"]
"""How examples share a forward pass. `packed`: end to end in one row. `padded`: one row each, with padding at
the end, to which no real token of a causal model attends. `masked`: such rows with an attention mask, for
encoders."""

BUCKETED_STEPS = 50
"""Number of steps whose examples are sorted by length together, if padding would cost time."""


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step of the whole gang."""

    number: int
    """Counted from 0 over all epochs."""
    epoch: int
    ends_epoch: bool
    examples: Indices


@dataclass(frozen=True, slots=True)
class Microbatch:
    """The sequences of one forward pass. For causal models, their last token is left out, because nothing
    follows it."""

    token_ids: Tensor
    """int64 (B, T); B is 1 in a packed layout."""
    position_ids: Tensor
    """int64 (B, T), from 0 in each sequence."""
    positions: Tensor
    """int64 (S,): positions in the flattened (B * T) from which a learned target is predicted."""
    targets: Tensor
    """int64 (S,): the learned tokens, or classes."""
    owners: Tensor
    """int64 (S,): the sequence of this microbatch that each target belongs to."""
    sequences: Tensor
    """int64 (sequences,): numbers of the sequences in the data set."""
    reference: Tensor | None = None
    """float32 (sequences,): DPO's reference log-probability of each sequence's learned tokens."""
    segments: Segments | None = None
    """Boundaries of the sequences in a packed row."""
    attention_mask: Tensor | None = None
    """int64 (B, T), in a masked layout."""

    def to(self, device: torch.device) -> "Microbatch":
        if device.type == "cpu":
            return self
        tensors = {
            name: getattr(self, name).to(device, non_blocking=True)
            for name in ("token_ids", "position_ids", "positions", "targets", "owners", "sequences")
        }
        segments, mask, reference = self.segments, self.attention_mask, self.reference
        return Microbatch(
            **tensors,
            reference=None if reference is None else reference.to(device, non_blocking=True),
            segments=None if segments is None else segments.to(device),
            attention_mask=None if mask is None else mask.to(device, non_blocking=True),
        )


class Schedule:
    """The steps of a run: `n_epochs` epochs, each in a new random order. The last batch of an epoch may be
    smaller.

    With `lengths`, the examples of a batch have similar lengths: the order is cut into stretches of
    BUCKETED_STEPS steps, each stretch is sorted by length, and its steps are shuffled.
    """

    def __init__(
        self, n_examples: int, *, batch_size: int, n_epochs: int, seed: int, lengths: Indices | None = None
    ) -> None:
        self._n_examples, self._batch_size, self._seed = n_examples, batch_size, seed
        self._lengths = lengths
        self.steps_per_epoch = -(-n_examples // batch_size)
        self.total_steps = n_epochs * self.steps_per_epoch

    def steps(self, start: int = 0) -> Iterator[Step]:
        """Yields the steps from number `start` on."""
        for number in range(start, self.total_steps):
            epoch, place = divmod(number, self.steps_per_epoch)
            if place == 0 or number == start:
                order = self._order(epoch)
            yield Step(
                number=number,
                epoch=epoch,
                ends_epoch=place == self.steps_per_epoch - 1,
                examples=order[place * self._batch_size : (place + 1) * self._batch_size],
            )

    def _order(self, epoch: int) -> Indices:
        random = np.random.default_rng((self._seed, epoch))
        order = random.permutation(self._n_examples)
        if self._lengths is None:
            return order
        batch_size, stretch = self._batch_size, self._batch_size * BUCKETED_STEPS
        pieces = []
        for first in range(0, self._n_examples, stretch):
            part = order[first : first + stretch]
            part = part[np.argsort(self._lengths[part], kind="stable")]
            steps = [part[at : at + batch_size] for at in range(0, len(part), batch_size)]
            # A batch that is not full stays last. Anywhere else it would shift all batches after it.
            shuffled = random.permutation(len(part) // batch_size)
            pieces += [steps[place] for place in shuffled] + steps[len(shuffled) :]
        return np.concatenate(pieces)


class Batcher:
    """Cuts sets of examples into one worker's microbatches."""

    def __init__(
        self,
        dataset: Dataset,
        *,
        microbatch_tokens: int,
        layout: Layout = "packed",
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.dataset = dataset
        self.layout = layout
        self.reference: Tensor | None = None
        """float32 (sequences of the data set,): DPO's log-probabilities before the first step."""
        self._microbatch_tokens = microbatch_tokens
        self._rank, self._world_size = rank, world_size
        self._lengths = dataset.lengths()
        self._sequence_lengths = np.diff(dataset.offsets)
        # A sum over all tokens would take eight bytes per token.
        masks = (dataset.mask[start:end] for start, end in pairwise(dataset.offsets.tolist()))
        self._learned = np.fromiter(map(np.count_nonzero, masks), np.int64, len(dataset.offsets) - 1)
        self._learned_before = np.cumsum(self._learned) - self._learned
        per_example, sequences = dataset.sequences_per_example, self._sequence_lengths
        alone = self._lengths if layout == "packed" else per_example * sequences
        self._largest_example = int(alone.max(initial=0))

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def pass_tokens(self) -> int:
        """The maximum number of tokens in a forward pass, padding included."""
        return self._microbatch_tokens

    @property
    def can_halve(self) -> bool:
        """Whether halving the limit makes passes smaller. It does not once the largest example is a pass of
        its own."""
        return self._microbatch_tokens > self._largest_example

    def limit(self, tokens: int) -> None:
        """Limits the number of tokens in a forward pass from now on."""
        self._microbatch_tokens = tokens

    def halve(self) -> None:
        """Halves the number of tokens in a forward pass from now on."""
        self._microbatch_tokens = max(1, self._microbatch_tokens // 2)

    def n_units(self, examples: Indices) -> int:
        """Returns the number of terms in a mean loss, over all workers: pairs of a preference set, otherwise
        learned tokens or labels."""
        return len(examples) if self.dataset.format == "preference" else self.n_learned(examples)

    def n_learned(self, examples: Indices) -> int:
        """Returns the number of learned tokens or labels."""
        return int(self._learned[self.dataset.sequences_of(examples)].sum())

    def n_tokens(self, examples: Indices) -> int:
        return int(self._lengths[examples].sum())

    def n_pairs(self, examples: Indices) -> int:
        """Returns the number of pairs of tokens within sequences for which attention computes a score."""
        return int((self._sequence_lengths[self.dataset.sequences_of(examples)] ** 2).sum())

    def all_examples(self) -> Indices:
        return np.arange(len(self.dataset), dtype=np.int64)

    def microbatches(self, examples: Indices) -> Iterator[Microbatch]:
        """Yields this worker's share of `examples`. A microbatch has at most `microbatch_tokens` tokens,
        padding included, or one example. Every worker gets the same number of microbatches, because workers
        that share a model must run passes together: a worker with too few repeats an example without
        learning from it."""
        shares = [self._cut(share) for share in self._shares(examples)]
        for cut in shares[self._rank]:
            yield self._collate(cut)
        for _ in range(max(map(len, shares)) - len(shares[self._rank])):
            yield self._collate(examples[:1], learns=False)

    def n_passes(self, examples: Indices) -> int:
        """Returns the number of microbatches of `examples` that every worker gets."""
        return max(len(self._cut(share)) for share in self._shares(examples))

    def places(self, batch: Microbatch) -> Tensor:
        """int64 (S,): the number of each target of `batch` among all learned tokens of the data set."""
        first_of_sequence = torch.searchsorted(batch.owners, batch.owners)
        within = torch.arange(len(batch.owners)) - first_of_sequence
        return torch.from_numpy(self._learned_before)[batch.sequences[batch.owners]] + within

    def _shares(self, examples: Indices) -> list[Indices]:
        """Returns each worker's examples, distributed by length so that all workers get about the same number
        of tokens."""
        by_length = examples[np.argsort(self._lengths[examples], kind="stable")]
        return [by_length[rank :: self._world_size] for rank in range(self._world_size)]

    def _cut(self, examples: Indices) -> list[Indices]:
        cuts, start, tokens, longest = [], 0, 0, 0
        per_example = self.dataset.sequences_per_example
        for end, example in enumerate(examples):
            length = int(self._lengths[example])
            own_longest = int(
                self._sequence_lengths[self.dataset.sequences_of(examples[end : end + 1])].max()
            )
            longest = max(longest, own_longest)
            wanted = tokens + length if self.layout == "packed" else (end + 1 - start) * per_example * longest
            if end > start and wanted > self._microbatch_tokens:
                cuts.append(examples[start:end])
                start, tokens, longest = end, 0, own_longest
            tokens += length
        if start < len(examples):
            cuts.append(examples[start:])
        return cuts

    def _collate(self, examples: Indices, *, learns: bool = True) -> Microbatch:
        sequences = self.dataset.sequences_of(examples)
        batch = collate(self.dataset, sequences, self.layout, learns=learns)
        return batch if self.reference is None else replace(batch, reference=self.reference[batch.sequences])


def pass_tokens(config: TrainingConfig, device: torch.device) -> int:
    """The largest number of tokens in one forward pass on this device."""
    tokens = config.microbatch_tokens
    return min(tokens, CPU_PASS_TOKENS) if device.type == "cpu" else tokens


def collate(dataset: Dataset, sequences: Indices, layout: Layout, *, learns: bool = True) -> Microbatch:
    """Makes the tensors of these sequences, padded with token 0, which is never a target. Without `learns`,
    there are no targets at all."""
    shift = 0 if layout == "masked" else 1
    starts, ends = dataset.offsets[sequences], dataset.offsets[sequences + 1]
    lengths = ends - starts - shift
    width = int(lengths.sum() if layout == "packed" else lengths.max())
    rows = 1 if layout == "packed" else len(sequences)
    begins = np.cumsum(lengths) - lengths if layout == "packed" else np.arange(rows) * width
    token_ids = np.zeros(rows * width, dtype=np.int64)
    position_ids = np.zeros(rows * width, dtype=np.int64)
    positions, targets, owners = [], [], []
    for owner, (start, length, begin) in enumerate(zip(starts, lengths, begins, strict=True)):
        token_ids[begin : begin + length] = dataset.token_ids[start : start + length]
        position_ids[begin : begin + length] = np.arange(length)
        learned = np.flatnonzero(dataset.mask[start + shift : start + shift + length]) if learns else _NOTHING
        positions.append(begin + learned)
        meant = dataset.token_ids if dataset.class_ids is None else dataset.class_ids
        targets.append(meant[start + shift + learned])
        owners.append(np.full(len(learned), owner))
    mask = (np.arange(width) < lengths[:, None]).astype(np.int64) if layout == "masked" else None
    return Microbatch(
        token_ids=torch.from_numpy(token_ids.reshape(rows, width)),
        position_ids=torch.from_numpy(position_ids.reshape(rows, width)),
        positions=_int64(positions),
        targets=_int64(targets),
        owners=_int64(owners),
        sequences=torch.from_numpy(sequences.astype(np.int64)),
        segments=Segments.of(lengths.tolist(), torch.device("cpu")) if layout == "packed" else None,
        attention_mask=None if mask is None else torch.from_numpy(mask),
    )


_NOTHING = np.zeros(0, dtype=np.int64)


def _int64(parts: list[npt.NDArray[np.int32]]) -> Tensor:
    return torch.from_numpy(np.concatenate(parts).astype(np.int64))
