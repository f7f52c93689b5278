"""The plan of a run: the examples in each step, and how a step is cut into microbatches."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from cluster.contracts.hyperparameters import TrainingConfig
from cluster.training.data.batches import Batcher, Layout, Schedule, collate
from cluster.training.data.dataset import Dataset
from cluster.training.loop.loop import scheduled_rate


def dataset(lengths: list[int]) -> Dataset:
    """Examples of these lengths. Example i repeats the token i + 1, and its last half is learned."""
    return Dataset(
        format="chat",
        token_ids=np.repeat(np.arange(1, len(lengths) + 1), lengths).astype(np.int32),
        mask=np.concatenate([np.arange(length) >= length / 2 for length in lengths]),
        offsets=np.cumsum([0, *lengths]),
        lines=np.arange(1, len(lengths) + 1, dtype=np.int32),
        truncated_lines=[],
        dropped_lines=[],
    )


LENGTHS = [3, 9, 4, 20, 2, 7, 7, 12, 5, 30, 6]


def test_every_epoch_takes_every_example_once_in_a_new_order() -> None:
    steps = list(Schedule(11, batch_size=4, n_epochs=3, seed=5).steps())
    assert [len(step.examples) for step in steps] == [4, 4, 3] * 3
    assert [step.ends_epoch for step in steps] == [False, False, True] * 3
    orders = [np.concatenate([s.examples for s in steps if s.epoch == epoch]) for epoch in range(3)]
    assert all(sorted(order) == list(range(11)) for order in orders)
    assert all(not np.array_equal(one, other) for one, other in itertools.combinations(orders, 2))


def test_a_schedule_starts_from_any_step_as_if_it_had_run_from_the_first() -> None:
    schedule = Schedule(11, batch_size=4, n_epochs=3, seed=5)
    whole = list(schedule.steps())
    for start in range(len(whole) + 1):
        rest = list(schedule.steps(start))
        assert [step.number for step in rest] == [step.number for step in whole[start:]]
        pairs = zip(rest, whole[start:], strict=True)
        assert all(np.array_equal(found.examples, expected.examples) for found, expected in pairs)


def test_another_seed_gives_another_order() -> None:
    first, second = (next(Schedule(11, batch_size=11, n_epochs=1, seed=s).steps()).examples for s in (1, 2))
    assert not np.array_equal(first, second)


def test_examples_of_similar_length_share_a_batch_where_padding_would_cost_time() -> None:
    lengths = np.random.default_rng(0).integers(1, 1000, 1000)
    schedule = Schedule(1000, batch_size=8, n_epochs=2, seed=5, lengths=lengths)
    steps = list(schedule.steps())
    assert sorted(np.concatenate([step.examples for step in steps[:125]])) == list(range(1000))
    padded = sum(len(step.examples) * lengths[step.examples].max() for step in steps)
    assert padded < 1.1 * 2 * lengths.sum()
    assert [len(step.examples) for step in steps] == [8] * 250
    longest = [lengths[step.examples].max() for step in steps[:125]]
    assert longest != sorted(longest)
    again = list(schedule.steps(77))
    assert all(np.array_equal(a.examples, b.examples) for a, b in zip(again, steps[77:], strict=True))


@pytest.mark.parametrize("layout", ["packed", "padded", "masked"])
@pytest.mark.parametrize("world_size", [1, 2, 3, 16])
@pytest.mark.parametrize("budget", [1, 20, 45, 10_000])
def test_workers_and_microbatches_share_a_step_without_loss_within_the_budget(
    world_size: int, budget: int, layout: Layout
) -> None:
    data, seen, counts = dataset(LENGTHS), [], []
    examples = np.arange(len(LENGTHS))
    for rank in range(world_size):
        batcher = Batcher(data, microbatch_tokens=budget, layout=layout, rank=rank, world_size=world_size)
        batches = list(batcher.microbatches(examples))
        counts.append(len(batches))
        for batch in batches:
            assert batch.token_ids.numel() <= budget or len(batch.sequences) == 1
            if len(batch.targets):
                seen += batch.sequences.tolist()
            meant = batch.token_ids.flatten()[batch.positions]
            assert batch.targets.tolist() == meant.tolist() or layout == "masked"
            assert batch.sequences[batch.owners].tolist() == (batch.targets - 1).tolist()
    assert sorted(seen) == [index for index in examples if LENGTHS[index] > 1]
    assert len(set(counts)) == 1
    assert batcher.n_units(examples) == sum(length // 2 for length in LENGTHS)
    assert batcher.n_tokens(examples) == sum(LENGTHS)


def two_examples() -> Dataset:
    return Dataset(
        format="chat",
        token_ids=np.array([10, 11, 12, 13, 20, 21], dtype=np.int32),
        mask=np.array([False, False, True, True, False, True]),
        offsets=np.array([0, 4, 6]),
        lines=np.array([1, 2], dtype=np.int32),
        truncated_lines=[],
        dropped_lines=[],
    )


def test_a_padded_microbatch_predicts_each_learned_token_from_the_one_before() -> None:
    batch = collate(two_examples(), np.array([0, 1]), "padded")
    assert batch.token_ids.tolist() == [[10, 11, 12], [20, 0, 0]]
    assert batch.targets.tolist() == [12, 13, 21]
    assert batch.token_ids.flatten()[batch.positions].tolist() == [11, 12, 20]


def test_nothing_is_learned_across_the_boundary_of_packed_examples() -> None:
    """The first token of the second example is not a target, and its positions restart at 0."""
    batch = collate(two_examples(), np.array([0, 1]), "packed")
    assert batch.token_ids.tolist() == [[10, 11, 12, 20]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 0]]
    assert batch.targets.tolist() == [12, 13, 21]
    assert batch.token_ids.flatten()[batch.positions].tolist() == [11, 12, 20]
    assert batch.segments is not None
    assert batch.segments.lengths == [3, 1]
    assert batch.segments.offsets.tolist() == [0, 3, 4]


def test_both_answers_of_a_preference_share_a_microbatch() -> None:
    lengths = [5, 9, 4, 4, 12, 3]
    one_by_one = dataset(lengths)
    data = replace(one_by_one, format="preference", lines=np.arange(1, 4, dtype=np.int32))
    batcher = Batcher(data, microbatch_tokens=16, layout="packed")
    batches = list(batcher.microbatches(np.arange(3)))
    assert [batch.sequences.tolist() for batch in batches] == [[2, 3], [0, 1], [4, 5]]
    assert batcher.n_units(np.arange(3)) == 3


def test_the_rate_rises_falls_and_never_reaches_zero(make_config: Callable[..., TrainingConfig]) -> None:
    config = make_config(learning_rate=1.0, warmup_ratio=0.2)
    rates = [scheduled_rate(config, step, 10) for step in range(10)]
    assert rates == pytest.approx([0.5, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])
    assert scheduled_rate(make_config(learning_rate=1.0, warmup_ratio=0.0), 0, 1) == 1.0
