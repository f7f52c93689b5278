"""A compiled training file: token ids and a mask of those that are learned, in flat arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cluster.contracts.datasets import DatasetFormat
from cluster.contracts.hyperparameters import held_out_count

Indices = npt.NDArray[np.int64]

_SPLIT_STREAM = 0x5117
"""Separates the random numbers of the split from other uses of a job's seed."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Compiled examples, after the over-length policy is applied. They take a few bytes a token and are
    shared without copies.

    An example is one sequence of tokens. For preferences it is two: example i is sequence 2i, the input with
    the preferred answer, and sequence 2i + 1, the input with the other one.
    """

    format: DatasetFormat
    token_ids: npt.NDArray[np.int32]
    mask: npt.NDArray[np.bool_]
    """The learned tokens. For a decoder, they are predicted from the tokens before them, so the first token
    of a sequence is never learned. For an encoder, they carry a label."""
    offsets: npt.NDArray[np.int64]
    """Sequence i is [offsets[i], offsets[i + 1]). There is one more offset than sequences."""
    lines: npt.NDArray[np.int32]
    """Each example's line in the file, counted from 1. A chat may be several examples."""
    truncated_lines: list[int]
    """The line of each example that the policy truncated."""
    dropped_lines: list[int]
    """The line of each example that is not trained on."""
    class_ids: npt.NDArray[np.int32] | None = None
    """Class of each token for encoders, or -1 where the mask is false. A classified text carries its class on
    its first token, and so does a classified word."""
    class_names: tuple[str, ...] = ()
    """The names of the numbers in `class_ids`."""

    @property
    def sequences_per_example(self) -> int:
        return 2 if self.format == "preference" else 1

    @property
    def is_per_token(self) -> bool:
        """Whether words are classified, not whole texts."""
        return self.format == "token_classification"

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.lines)

    def lengths(self) -> Indices:
        """The number of tokens in each example, over all its sequences."""
        return np.diff(self.offsets[:: self.sequences_per_example])

    def padded_lengths(self) -> Indices:
        """The number of tokens in each example once its sequences are padded to the longest of them."""
        per_example = self.sequences_per_example
        longest: Indices = np.diff(self.offsets).reshape(-1, per_example).max(1)
        return per_example * longest

    def sequences_of(self, examples: npt.ArrayLike) -> Indices:
        """The numbers of these examples' sequences, in the same order."""
        numbers = np.asarray(examples, dtype=np.int64)
        if self.sequences_per_example == 1:
            return numbers
        return np.stack([2 * numbers, 2 * numbers + 1], axis=1).ravel()

    def subset(self, examples: npt.ArrayLike) -> "Dataset":
        """These examples, in this order. A subset has no dropped lines."""
        numbers = np.asarray(examples, dtype=np.int64)
        sequences = self.sequences_of(numbers)
        starts = self.offsets[sequences]
        offsets = np.concatenate([[0], np.cumsum(self.offsets[sequences + 1] - starts)]).astype(np.int64)
        tokens: npt.NDArray[np.bool_] | Indices
        if (np.diff(numbers) > 0).all():
            # A mask takes one byte per token, and token numbers take eight.
            chosen = np.zeros(len(self.offsets) - 1, dtype=np.bool_)
            chosen[sequences] = True
            tokens = np.repeat(chosen, np.diff(self.offsets))
        else:
            # Position p of the subset is token p - offsets[i] of its sequence i.
            tokens = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], np.diff(offsets))
        lines = self.lines[numbers]
        return Dataset(
            format=self.format,
            token_ids=self.token_ids[tokens],
            mask=self.mask[tokens],
            offsets=offsets,
            lines=lines,
            truncated_lines=_among(self.truncated_lines, lines),
            dropped_lines=[],
            class_ids=None if self.class_ids is None else self.class_ids[tokens],
            class_names=self.class_names,
        )


def split_held_out(data: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset]:
    """Splits off the examples of `held_out_count` rows, drawn by the seed. Returns the training examples and
    the held-out ones, both in the order of their lines. With a share of 0 there are no held-out examples."""
    # The examples of one row stay together: the longest of them repeats the others.
    lines, rows = np.unique(data.lines, return_inverse=True)
    order = np.random.default_rng((seed, _SPLIT_STREAM)).permutation(len(lines))
    is_held_out = np.zeros(len(lines), dtype=np.bool_)
    is_held_out[order[: held_out_count(len(lines), share)]] = True
    return data.subset(np.flatnonzero(~is_held_out[rows])), data.subset(np.flatnonzero(is_held_out[rows]))


def _among(chosen: Sequence[int], lines: npt.NDArray[np.int32]) -> list[int]:
    kept = set(lines.tolist())
    return [line for line in chosen if line in kept]
