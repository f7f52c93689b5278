"""A slow worker is named once; one that only has more to do is not."""

from collections.abc import Sequence

import numpy as np
import torch

from cluster.training.data.batches import Batcher
from cluster.training.loop.compute import Compute
from cluster.training.loop.step import StepEngine
from cluster.training.loop.stragglers import Stragglers, Work
from cluster.training.world import World
from tests.benchmarks.training.chats import Lengths, make_chats
from tests.benchmarks.training.ours import dataset_of
from tests.cluster.training.loop.test_growth import Device, Objective


def named(gang: Sequence[Work], *, steps: int = 60) -> list[dict[int, float]]:
    stragglers = Stragglers()
    return [found for _ in range(steps) if (found := stragglers.watch(gang))]


def test_a_worker_on_a_slow_device_is_named_once() -> None:
    assert named([Work(1.0, 1000), Work(1.1, 1000), Work(2.2, 1000), Work(0.9, 1000)]) == [{2: 2.2}]
    assert named([Work(1.0, 1000), Work(1.6, 1000)]) == [{1: 1.6}]
    assert named([Work(1.0, 1000), Work(3.0, 1000)], steps=19) == []


def test_a_worker_that_has_more_to_do_or_nothing_is_not_named() -> None:
    # The longest examples are always the last worker's, and attention takes the square of their length.
    assert named([Work(0.1, 100), Work(0.4, 200), Work(1.6, 400), Work(6.4, 800)]) == []
    assert named([Work(1.0, 1000), Work(0.001, 0)]) == []
    assert named([Work(3.0, 1000)]) == []
    assert named([Work(1.0, 1000), Work(0.0, 0)]) == []
    # But one that is slow with as little as the others is.
    assert [list(each) for each in named([Work(1.0, 90), Work(0.2, 100), Work(0.9, 800)])] == [[0]]


def test_single_slow_steps_name_nobody() -> None:
    stragglers = Stragglers()
    for step in range(100):
        slow = 9.0 if step % 3 == 0 else 1.0
        assert stragglers.watch([Work(1.0, 1000), Work(slow, 1000), Work(1.0, 1000)]) == {}


def test_workers_say_in_the_sums_of_a_step_what_they_did_for_the_one_before() -> None:
    lengths = Lengths(median=11, spread=0.0, shortest=11, longest=11)
    data = dataset_of(make_chats(8, vocab=50, lengths=lengths, seed=0))
    batcher = Batcher(data, microbatch_tokens=1600, rank=1, world_size=2)
    engine = StepEngine(
        Objective(Device(0)), batcher, Compute(torch.device("cpu"), world=_Second()), heartbeat=list
    )
    examples = np.arange(8, dtype=np.int64)
    first, second = (engine.run(examples, seed=step, command_code=0) for step in range(2))
    assert first.work == (Work(7.0, 9.0), Work(0.0, 0.0))
    assert second.work[0] == Work(7.0, 9.0)
    assert second.work[1].seconds > 0
    assert second.work[1].tokens == 4 * 10


class _Second(World):
    """The second of two workers. The first one did 9 tokens in 7 seconds."""

    def __init__(self) -> None:
        super().__init__(rank=1, size=2)

    def add_up(self, values: torch.Tensor) -> None:
        values[6] += 7.0
        values[8] += 9.0
