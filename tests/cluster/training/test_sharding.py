"""Weights that workers share, without the other workers: a process group that only pretends to talk."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.testing._internal.distributed.fake_pg import FakeStore

from cluster.training.data.batches import Batcher, Microbatch
from cluster.training.loop.compute import Compute
from cluster.training.loop.objectives import Sums
from cluster.training.loop.step import StepEngine
from cluster.training.model.attention import Segments
from cluster.training.world import World
from tests.benchmarks.training.chats import Lengths, make_chats
from tests.benchmarks.training.ours import dataset_of

CPU = torch.device("cpu")


@pytest.fixture
def world() -> Iterator[World]:
    distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    yield World(0, 2, is_sharded=True)
    distributed.destroy_process_group()


class Small(nn.Module):
    def __init__(self, *, is_full: bool) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        self.model[0].requires_grad_(is_full)

    def forward(self, rows: Tensor) -> Tensor:
        total: Tensor = self.model(rows).sum()
        return total


def gradients_after_passes(world: World, *, is_full: bool) -> list[list[Any]]:
    objective = Small(is_full=is_full)
    world.shard(objective, list(objective.model), CPU, torch.float32)
    found = []
    for is_last in (False, True):
        world.announce_pass(objective, is_last=is_last, is_full=is_full)
        torch.autograd.backward(objective(torch.ones(2, 4)))
        found.append([p.grad for p in objective.parameters() if p.requires_grad])
    return found


def test_adapters_are_added_up_over_the_workers_after_a_steps_last_pass(world: World) -> None:
    first, last = gradients_after_passes(world, is_full=False)
    assert first == [None, None]
    assert all(gradient is not None for gradient in last)


def test_no_worker_keeps_the_whole_gradient_of_a_full_fine_tune(world: World) -> None:
    first, _ = gradients_after_passes(world, is_full=True)
    assert [gradient.to_local().shape[0] for gradient in first] == [2, 2, 2, 2]


class Watched(nn.Module):
    """Remembers the batch that it was given, and what its layer was given beside the hidden states."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = WatchedLayer()
        self.batch: Any = None

    def forward(self, batch: Microbatch, segments: Segments) -> Tensor:
        self.batch = batch
        hidden: Tensor = self.layer(torch.ones(2, 4), segments=segments)
        return hidden


class WatchedLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.segments: Any = None

    def forward(self, hidden: Tensor, segments: Segments) -> Tensor:
        self.segments = segments
        found: Tensor = self.linear(hidden)
        return found


def test_what_is_no_weight_is_neither_rounded_nor_copied(world: World) -> None:
    """In bfloat16, the log-probability of an answer of some hundred tokens would be wrong by up to 1."""
    lengths = Lengths(median=11, spread=0.0, shortest=11, longest=11)
    batcher = Batcher(dataset_of(make_chats(2, vocab=50, lengths=lengths, seed=0)), microbatch_tokens=22)
    (microbatch,) = batcher.microbatches(batcher.all_examples())
    reference = torch.tensor([-200.7, -311.3])
    segments = Segments.of([11, 11], CPU)
    objective = Watched()
    world.shard(objective, [objective.layer], CPU, torch.bfloat16)
    assert objective(replace(microbatch, reference=reference), segments).dtype == torch.bfloat16
    assert torch.equal(objective.batch.reference, reference)
    assert objective.layer.segments is segments, "layers share the masks that it holds"


class Towered(nn.Module):
    """A model of text, which is trained, beside a frozen tower. Remembers each pass's gradient before it."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.ModuleDict({"text": nn.Linear(8, 8), "tower": nn.Linear(4, 4)})
        self.model["tower"].requires_grad_(False)
        self.gradients: list[Any] = []

    def forward(self, batch: Microbatch) -> Sums:
        text = self.model["text"]
        self.gradients.append(text.weight.grad)
        zero = torch.zeros((), dtype=torch.int64)
        return Sums(text(torch.ones(len(batch.targets), 8)).sum(), zero, zero)


def test_nor_does_it_where_a_tower_stays_frozen(world: World) -> None:
    lengths = Lengths(median=11, spread=0.0, shortest=11, longest=11)
    batcher = Batcher(dataset_of(make_chats(6, vocab=50, lengths=lengths, seed=0)), microbatch_tokens=22)
    objective = Towered()
    world.shard(objective, [objective.model["text"]], CPU, torch.float32)
    engine = StepEngine(objective, batcher, Compute(CPU, world=world), heartbeat=list)
    engine.run(batcher.all_examples(), seed=0, command_code=0)
    assert [each.to_local().shape[0] for each in objective.gradients[1:]] == [4, 4]
