"""Passes of workers that share a model grow until more would not fit, and never run out of memory."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

from cluster.contracts.errors import PassesTooLarge, TrainingFailed
from cluster.training.data.batches import Batcher, Microbatch
from cluster.training.failure import failed_state
from cluster.training.loop.compute import Compute
from cluster.training.loop.growth import Growth, needed
from cluster.training.loop.objectives import Sums
from cluster.training.loop.step import StepEngine
from cluster.training.world import World
from tests.benchmarks.training.chats import Lengths, make_chats
from tests.benchmarks.training.ours import dataset_of


class Device:
    """A device on which weights take 1,000 bytes, moments as much from the second step on, and a pass 500
    bytes and 10 for each token."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.highest = 0
        self._steps = 0
        self._peak = 0

    def used(self) -> int:
        self._steps += 1
        self._peak = self._weights
        return self._weights

    def peak(self) -> int:
        return self._peak

    @property
    def _weights(self) -> int:
        return 1000 if self._steps == 1 else 2000

    def run(self, tokens: int) -> None:
        self._peak = max(self._peak, self._weights + 500 + 10 * tokens)
        self.highest = max(self.highest, self._peak)


class Objective(nn.Module):
    """Has one weight, and takes the device's memory."""

    def __init__(self, device: Device) -> None:
        super().__init__()
        self.model = nn.Linear(1, 1, bias=False)
        self._device = device

    def forward(self, batch: Microbatch) -> Sums:
        self._device.run(batch.token_ids.numel())
        zero = torch.zeros((), dtype=torch.int64)
        loss: Tensor = self.model.weight.sum() * len(batch.targets)
        return Sums(loss, zero, zero)


def settled(total: int, *, steps: int = 6) -> tuple[Device, Batcher, list[int | None]]:
    """The device, and what each step said, after steps of many chats of 10 tokens."""
    lengths = Lengths(median=11, spread=0.0, shortest=11, longest=11)
    data = dataset_of(make_chats(400, vocab=50, lengths=lengths, seed=0))
    device, batcher = Device(total), Batcher(data, microbatch_tokens=1600)
    engine = StepEngine(
        Objective(device), batcher, Compute(torch.device("cpu")), heartbeat=list, memory=device
    )
    said = [
        engine.run(batcher.all_examples(), seed=step, command_code=0).settled_tokens for step in range(steps)
    ]
    return device, batcher, said


def test_passes_grow_to_the_planned_size_where_there_is_room() -> None:
    device, batcher, said = settled(1_000_000)
    assert (batcher.pass_tokens, set(said)) == (1600, {None})
    assert device.highest > 16_000


@pytest.mark.parametrize(("total", "tokens"), [(15_000, 800), (9_000, 400)])
def test_passes_stop_growing_before_memory_runs_out_and_the_owner_learns_it_once(
    total: int, tokens: int
) -> None:
    device, batcher, said = settled(total)
    assert batcher.pass_tokens == tokens
    assert [each for each in said if each is not None] == [tokens]
    assert device.highest <= total


class Full(Objective):
    """Never has room."""

    def forward(self, batch: Microbatch) -> Sums:
        raise torch.OutOfMemoryError("pretended")


@pytest.mark.parametrize(("tokens", "next_tokens"), [(1600, 800), (21, 10), (11, None), (1, None)])
def test_a_worker_that_shares_a_model_asks_for_smaller_passes_unless_they_are_of_single_examples(
    tokens: int, next_tokens: int | None
) -> None:
    lengths = Lengths(median=11, spread=0.0, shortest=11, longest=11)
    batcher = Batcher(dataset_of(make_chats(40, vocab=50, lengths=lengths, seed=0)), microbatch_tokens=tokens)
    compute = Compute(torch.device("cpu"), world=World(is_sharded=True))
    engine = StepEngine(Full(Device(1)), batcher, compute, heartbeat=list)
    with pytest.raises((PassesTooLarge, TrainingFailed)) as caught:
        engine.run(batcher.all_examples(), seed=0, command_code=0)
    state = failed_state(caught.value)
    assert (state.code, state.pass_tokens) == ("out_of_memory", next_tokens)
    assert state.is_user_fault == (next_tokens is None)
    assert ("train on even single examples" in state.message) == (next_tokens is None)


@dataclass(frozen=True, slots=True)
class OneOfTwo(World):
    """The other worker runs out of memory once, in passes that it can halve."""

    size: int = 2
    others: list[int] = field(default_factory=lambda: [1, 0])

    def add_up(self, values: Tensor) -> None:
        if len(values) > 4:
            values[4] += self.others.pop(0)


def test_a_worker_whose_passes_are_of_single_examples_goes_on_with_one_that_takes_smaller_ones() -> None:
    lengths = Lengths(median=11, spread=0.0, shortest=11, longest=11)
    batcher = Batcher(dataset_of(make_chats(40, vocab=50, lengths=lengths, seed=0)), microbatch_tokens=11)
    engine = StepEngine(
        Objective(Device(1)), batcher, Compute(torch.device("cpu"), world=OneOfTwo()), heartbeat=list
    )
    assert engine.run(batcher.all_examples(), seed=0, command_code=0).was_halved


def test_one_worker_without_room_stops_the_growth_of_all() -> None:
    growth = Growth(Device(1_000_000), 1600)
    growth.begin()
    growth.end(400)
    assert growth.begin()
    growth.decide(has_room=False)
    assert (growth.tokens, growth.is_over) == (400, True)


def test_what_a_larger_pass_needs_follows_from_two_smaller_ones() -> None:
    assert needed({400: 4_500}, 800) == 9_000
    assert needed({400: 4_500, 800: 8_500}, 1600) == 16_500
    assert needed({400: 4_500, 800: 4_500}, 1600) == 4_500
    assert needed({400: 4_500}, 200) == 4_500
