"""Scoring with workers that share a model, and what is kept of one that will not exist later."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed, nn
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore
from transformers import LlamaConfig, LlamaForCausalLM

from cluster.contracts.errors import PassesTooLarge, TrainingFailed
from cluster.contracts.jobs import RunnerEvent, RunnerMessage
from cluster.training.data.batches import Batcher, Step
from cluster.training.data.dataset import Dataset
from cluster.training.evaluation import distributions
from cluster.training.evaluation.scores import Before, Scorer
from cluster.training.loop.compute import Compute
from cluster.training.loop.hooks import RunHooks
from cluster.training.loop.objectives import LanguageObjective
from cluster.training.loop.throughput import Throughput
from cluster.training.loop.validation import Validation
from cluster.training.model.head import Head
from cluster.training.world import World

CPU = torch.device("cpu")
LAYERS = 6


@pytest.fixture
def world() -> Iterator[World]:
    """One of four workers. The others only pretend to exist."""
    distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=4)
    yield World(0, 4, is_sharded=True)
    distributed.destroy_process_group()


def random_dataset(rows: int) -> Dataset:
    """Sequences of 6 to 12 tokens, of which about a half are learned."""
    random = np.random.default_rng(rows)
    lengths = random.integers(6, 13, rows)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    mask = random.random(offsets[-1]) < 0.5
    mask[offsets[:-1]] = False
    mask[offsets[1:] - 1] = True
    return Dataset(
        format="chat",
        token_ids=random.integers(0, 50, offsets[-1]).astype(np.int32),
        mask=mask,
        offsets=offsets,
        lines=np.arange(1, rows + 1, dtype=np.int32),
        truncated_lines=[],
        dropped_lines=[],
    )


def model(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    made = LlamaForCausalLM(config)
    # A few tokens are likely, as in a model that was trained.
    made.lm_head.weight.data *= 60
    return made


def scorer(objective: LanguageObjective, data: Dataset, world: World) -> Scorer:
    def cut() -> Batcher:
        return Batcher(data, microbatch_tokens=40, layout="padded", rank=world.rank, world_size=world.size)

    return Scorer(objective, Head(), data, cut(), cut(), Compute(CPU, world=world))


def test_no_worker_holds_the_whole_model_while_it_is_scored(world: World) -> None:
    """Before the first step, when nothing was gathered yet, and with fewer examples than workers."""
    inner = model()
    objective = LanguageObjective(inner, Head())
    world.shard(objective, inner.model.layers, CPU, torch.float32)
    whole: list[int] = []

    def count(*_: Any) -> None:
        whole.append(sum(is_whole(layer) for layer in inner.model.layers))

    for layer in inner.model.layers:
        layer.register_forward_pre_hook(count)
    found = scorer(objective, random_dataset(3), world)
    before = found.before(lambda: None)
    assert before is not None
    assert found.after(before, lambda: None) is not None
    assert len(whole) >= 4 * LAYERS
    # One computes, and the next one arrives.
    assert max(whole) <= 2
    assert not any(is_whole(module) for module in [inner.lm_head, *inner.model.layers])


def is_whole(module: nn.Module) -> bool:
    return not any(isinstance(parameter, DTensor) for parameter in module.parameters())


@pytest.mark.parametrize("kept", [1 << 24, 400])
def test_divergence_is_measured_against_what_was_kept(monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    """Of all tokens it is exact, of the most likely ones nearly so."""
    monkeypatch.setattr(distributions, "KEPT", kept)
    data = random_dataset(5)
    first, second = model(0), model(1)
    for parameter, other in zip(second.parameters(), first.parameters(), strict=True):
        parameter.data.lerp_(other.data, 0.7)
    before = scorer(LanguageObjective(first, Head()), data, World()).before(lambda: None)
    assert before is not None
    again = Before.of_tensors(before.tensors())
    assert again is not None
    after = scorer(LanguageObjective(second, Head()), data, World()).after(again, lambda: None)
    assert after is not None
    expected, count = 0.0, 0
    for row in range(5):
        token_ids, learned = sequence(data, row)
        with torch.no_grad():
            p, q = (each(token_ids[None]).logits[0, :-1].log_softmax(-1) for each in (first, second))
        expected += float((p.exp() * (p - q)).sum(-1)[learned[1:]].sum())
        count += int(learned[1:].sum())
    assert before.distributions is not None
    is_all = before.distributions.token_ids.shape[1] == 50
    assert is_all == (kept > 400)
    assert after.general_kl == pytest.approx(expected / count, rel=1e-4 if is_all else 0.3)
    assert is_all or after.general_kl < expected / count


def sequence(data: Dataset, row: int) -> tuple[torch.Tensor, torch.Tensor]:
    part = slice(data.offsets[row], data.offsets[row + 1])
    return torch.from_numpy(data.token_ids[part]).long(), torch.from_numpy(data.mask[part])


def test_places_number_the_learned_tokens_of_the_data_set() -> None:
    data = random_dataset(7)
    cuts = [Batcher(data, microbatch_tokens=30, rank=rank, world_size=3) for rank in range(3)]
    learned = data.token_ids[data.mask]
    seen: list[int] = []
    for batcher in cuts:
        for batch in batcher.microbatches(batcher.all_examples()):
            places = batcher.places(batch)
            assert batch.targets.tolist() == learned[places.numpy()].tolist()
            seen += places.tolist()
    assert sorted(seen) == list(range(len(learned)))


def refuse(model: Any, *, above: int) -> None:
    """Lets passes of more tokens run out of memory."""

    def run_out(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if inputs[0].numel() > above:
            raise torch.OutOfMemoryError("pretended")

    model.get_input_embeddings().register_forward_pre_hook(run_out)


def test_a_worker_with_a_model_of_its_own_scores_it_in_passes_that_fit() -> None:
    data, models = random_dataset(9), (model(0), model(1))
    expected = compare(data, *models)
    for each in models:
        refuse(each, above=20)
    assert compare(data, *models) == pytest.approx(expected, rel=1e-6)


def compare(data: Dataset, first: Any, second: Any) -> list[float]:
    """The scores of the first model, and those of the second one beside it."""
    before = scorer(LanguageObjective(first, Head()), data, World()).before(lambda: None)
    assert before is not None
    after = scorer(LanguageObjective(second, Head()), data, World()).after(before, lambda: None)
    assert after is not None
    found: list[float] = [*before.scores.tensor().tolist(), *after.tensor().tolist()]
    return found


def test_a_worker_without_room_for_one_example_ends_the_measurement_for_all() -> None:
    full = model()
    refuse(full, above=0)
    assert scorer(LanguageObjective(full, Head()), random_dataset(2), World()).before(lambda: None) is None
    assert full.training


def test_validation_without_room_for_one_example_ends_itself_and_not_the_run() -> None:
    full, data = model(), random_dataset(2)
    refuse(full, above=0)
    events: list[RunnerEvent] = []
    batcher = Batcher(data, microbatch_tokens=40, layout="padded")
    objective, compute = LanguageObjective(full, Head()), Compute(CPU)
    validation = Validation(objective, batcher, compute, RunHooks(events.append), size=1)
    throughput = Throughput(100)
    for number in range(2):
        step = Step(number, epoch=number, ends_epoch=True, examples=batcher.all_examples())
        assert validation.after(step, 2, throughput) == (None, None)
    assert full.training
    (warning,) = events
    assert isinstance(warning, RunnerMessage)
    assert "do not fit into memory" in warning.message


@pytest.mark.parametrize("set_", ["held_out", "general"])
def test_workers_that_share_a_model_end_the_attempt_or_learn_which_example_is_too_long(set_: str) -> None:
    full, data = model(), random_dataset(9)
    refuse(full, above=0)
    found = replace(scorer(LanguageObjective(full, Head()), data, World(is_sharded=True)), held_out=None)
    if set_ == "held_out":
        found = replace(found, held_out=found.general, general=None)
    with pytest.raises(PassesTooLarge) as smaller:
        found.before(lambda: None)
    assert smaller.value.pass_tokens == 20
    for batcher in (found.held_out, found.general):
        if batcher is not None:
            batcher.limit(10)
    lengths = data.lengths()
    place = f"on line {lengths.argmax() + 1} of its file, has {lengths.max()} tokens"
    with pytest.raises(TrainingFailed, match=place) as caught:
        found.before(lambda: None)
    assert caught.value.code == "out_of_memory"
