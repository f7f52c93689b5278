"""Compiled examples as arrays: what an example is, parts of a set, and the split."""

import tracemalloc
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest

from cluster.training.data.batches import Batcher
from cluster.training.data.dataset import Dataset, split_held_out
from cluster.training.data.datasets import Datasets


def dataset(lengths: list[int], format: str = "chat") -> Dataset:
    """Sequences of these lengths. Sequence i repeats the token i, and its last token is learned."""
    per_example = 2 if format == "preference" else 1
    ends = np.cumsum(lengths)
    mask = np.zeros(ends[-1], dtype=np.bool_)
    mask[ends - 1] = True
    return Dataset(
        format=format,
        token_ids=np.repeat(np.arange(len(lengths)), lengths).astype(np.int32),
        mask=mask,
        offsets=np.concatenate([[0], ends]).astype(np.int64),
        lines=np.arange(1, 1 + len(lengths) // per_example, dtype=np.int32),
        truncated_lines=[2],
        dropped_lines=[3],
    )


def same(one: Dataset, other: Dataset) -> bool:
    """Asserts equality in every field, including array types."""
    for field in fields(Dataset):
        mine, yours = getattr(one, field.name), getattr(other, field.name)
        if isinstance(mine, np.ndarray):
            if mine.dtype != yours.dtype or not np.array_equal(mine, yours):
                return False
        elif mine != yours:
            return False
    return True


def test_an_example_is_a_sequence_and_a_preference_two() -> None:
    plain, pairs = dataset([3, 1, 4, 1]), dataset([3, 1, 4, 1], "preference")
    assert (len(plain), plain.sequences_per_example, plain.lengths().tolist()) == (4, 1, [3, 1, 4, 1])
    assert (len(pairs), pairs.sequences_per_example, pairs.lengths().tolist()) == (2, 2, [4, 5])
    assert plain.sequences_of([2, 0]).tolist() == [2, 0]
    assert pairs.sequences_of([1, 0]).tolist() == [2, 3, 0, 1]


@pytest.mark.parametrize("format", ["chat", "preference"])
def test_a_subset_holds_its_examples_in_the_given_order(format: str) -> None:
    data = dataset([3, 1, 4, 1, 5, 2], format)
    assert same(replace(data.subset(np.arange(len(data))), dropped_lines=[3]), data)
    part = data.subset([1, 0])
    expected = [[1] * 1, [0] * 3] if format == "chat" else [[2] * 4, [3] * 1, [0] * 3, [1] * 1]
    found = [part.token_ids[a:b].tolist() for a, b in zip(part.offsets[:-1], part.offsets[1:], strict=True)]
    assert found == expected
    assert part.mask.sum() == len(expected)
    assert (part.lines.tolist(), part.truncated_lines, part.dropped_lines) == ([2, 1], [2], [])
    assert part.subset([0, 1]).token_ids.dtype == np.int32


def test_a_subset_keeps_classes() -> None:
    data = replace(
        dataset([2, 2, 2]), class_ids=np.array([0, -1, 1, -1, 0, -1], dtype=np.int32), class_names=("a", "b")
    )
    assert data.subset([1, 2]).class_ids.tolist() == [1, -1, 0, -1]
    assert data.subset([1]).class_names == ("a", "b")


def test_a_subset_may_be_empty() -> None:
    assert len(dataset([2, 2]).subset([])) == 0


@pytest.mark.parametrize(("share", "n_held_out"), [(0.0, 0), (0.001, 1), (0.25, 5), (0.5, 10)])
def test_a_split_keeps_all_examples_in_the_order_of_lines(share: float, n_held_out: int) -> None:
    data = dataset(list(range(1, 21)))
    train, held_out = split_held_out(data, share, seed=3)
    assert len(held_out) == n_held_out
    assert sorted([*train.lines, *held_out.lines]) == data.lines.tolist()
    assert np.all(np.diff(train.lines) > 0)
    assert np.all(np.diff(held_out.lines) > 0)
    again, _ = split_held_out(data, share, seed=3)
    assert same(train, again)


def test_examples_of_one_row_are_held_out_together() -> None:
    lines = np.repeat(np.arange(1, 11, dtype=np.int32), 2)
    train, held_out = split_held_out(replace(dataset([3] * 20), lines=lines), 0.3, seed=3)
    assert (len(train), len(held_out)) == (14, 6)
    assert not set(train.lines) & set(held_out.lines)


def test_another_seed_holds_out_other_examples() -> None:
    data = dataset(list(range(1, 21)))
    first, second = (split_held_out(data, 0.25, seed)[1].lines.tolist() for seed in (1, 2))
    assert first != second


def test_what_is_evaluated_has_no_example_that_is_too_long_and_the_owner_is_told() -> None:
    pairs, rows = dataset([3, 6, 4, 4], "preference"), dataset([9, 10])
    found = Datasets(rows, held_out=pairs, general=rows, notes=["known"]).evaluated_within(8)
    assert found.training is rows
    assert found.held_out is not None
    assert found.held_out.lines.tolist() == [2]
    assert found.general is None
    known, held_out, general = found.notes
    assert known == "known"
    assert held_out.startswith("1 of 2 held-out example(s) are left out")
    assert general.startswith("2 of 2 general example(s) are left out")
    assert found.evaluated_within(8) == found


def test_parts_of_a_set_and_its_batches_take_a_few_bytes_a_token() -> None:
    data = dataset([1000] * 1000)
    assert peak_bytes_per_token(data, lambda: data.subset(np.arange(0, 1000, 2))) < 5
    assert peak_bytes_per_token(data, lambda: Batcher(data, microbatch_tokens=1)) < 1


def peak_bytes_per_token(data: Dataset, make: Callable[[], object]) -> float:
    tracemalloc.start()
    try:
        make()
        return tracemalloc.get_traced_memory()[1] / len(data.token_ids)
    finally:
        tracemalloc.stop()
