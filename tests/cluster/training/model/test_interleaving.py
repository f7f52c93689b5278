"""Passes that would each read all weights from files take turns, so that a read serves several of them."""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import TrainingFailed
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.training.checkpoints.probe import score_probe
from cluster.training.data.batches import Batcher
from cluster.training.data.dataset import Dataset
from cluster.training.evaluation.scores import Scorer
from cluster.training.loop.compute import Compute
from cluster.training.loop.objectives import LanguageObjective
from cluster.training.loop.out_of_memory import in_fitting_passes
from cluster.training.model.full_precision import BaseFiles, in_full_precision
from cluster.training.model.head import Head
from cluster.training.model.interleaving import Interleaving
from cluster.training.model.merged import as_merged, weight_from
from cluster.training.model.trainee import load_decoder
from tests.cluster.training.model.test_merged import adapted

CPU = torch.device("cpu")
ROWS = 6


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each weight was read from the base's files."""
    found: Counter[str] = Counter()
    read = BaseFiles.read

    def count(files: BaseFiles, name: str) -> Tensor:
        found[name] += 1
        return read(files, name)

    monkeypatch.setattr(BaseFiles, "read", count)
    return found


@pytest.fixture
def model(make_config: Callable[..., TrainingConfig], base: BaseSpec) -> Any:
    """A base in 4 bits with an adapter."""
    config = make_config(type="qlora")
    return adapted(load_decoder(Path(base.source.path), base, config, CPU), config)


def rows() -> Dataset:
    lengths = np.arange(ROWS) + 5
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Dataset(
        format="completion",
        token_ids=(np.arange(offsets[-1]) % 40 + 5).astype(np.int32),
        mask=np.ones(offsets[-1], np.bool_),
        offsets=offsets,
        lines=np.arange(1, ROWS + 1, dtype=np.int32),
        truncated_lines=[],
        dropped_lines=[],
    )


def test_a_probe_reads_the_base_once_and_finds_the_same(
    model: Any, base: BaseSpec, reads: Counter[str]
) -> None:
    scores = []
    for most in (1, 4, ROWS):
        interleaving = Interleaving(most)
        with in_full_precision(model, Path(base.source.path), torch.float32, interleaving):
            scores.append(score_probe(model, rows(), interleaving))
        assert len(reads) == 14
        assert set(reads.values()) == {-(-ROWS // most)}
        reads.clear()
    assert scores[0] == scores[1] == scores[2]


def test_an_adapter_is_merged_into_files_once_for_all_rows(
    model: Any, base: BaseSpec, reads: Counter[str]
) -> None:
    read, scores = weight_from(BaseFiles(Path(base.source.path))), []
    for most in (1, ROWS):
        interleaving = Interleaving(most)
        with as_merged(model, torch.float32, read, interleaving):
            scores.append(score_probe(model, rows(), interleaving))
        assert set(reads.values()) == {ROWS // most}
        reads.clear()
    assert scores[0] == scores[1]


def test_scores_of_a_data_set_are_the_same_with_fewer_reads(
    model: Any, base: BaseSpec, reads: Counter[str]
) -> None:
    data, objective = rows(), LanguageObjective(model, Head())

    def batcher() -> Batcher:
        return Batcher(data, microbatch_tokens=20, layout="padded")

    def autocast() -> torch.autocast:
        return torch.autocast("cpu", dtype=torch.bfloat16)

    found = []
    for most in (1, 2):
        scorer = Scorer(objective, Head(), data, batcher(), batcher(), Compute(CPU, autocast))
        interleaving = Interleaving(most)
        with in_full_precision(model, Path(base.source.path), torch.bfloat16, interleaving):
            before = scorer.before(lambda: None, interleaving)
            assert before is not None
            after = scorer.after(before, lambda: None, interleaving)
        assert after is not None
        found.append([*before.scores.tensor().tolist(), *after.tensor().tolist()])
        # Two models on two sets.
        passes = scorer.n_passes() // 2
        assert passes == 3
        assert set(reads.values()) == {4 * -(-passes // most)}
        reads.clear()
    assert found[0] == pytest.approx(found[1], rel=0, abs=0, nan_ok=True)


def test_the_error_of_one_pass_ends_those_that_wait_for_it() -> None:
    interleaving, ended = Interleaving(3), []

    def one(number: int) -> None:
        try:
            for layer in "abc":
                interleaving.shared(layer, lambda: None)
                if number == 1 and layer == "b":
                    raise TrainingFailed("the second one")
        finally:
            ended.append(number)

    with pytest.raises(TrainingFailed, match="the second one"):
        list(interleaving.run(partial(one, number) for number in range(3)))
    assert sorted(ended) == [0, 1, 2]
    assert list(interleaving.run([lambda: 1, lambda: 2])) == [1, 2]


def test_without_memory_for_several_passes_there_are_fewer_at_once_before_they_are_smaller() -> None:
    batcher, interleaving = Batcher(rows(), microbatch_tokens=20, layout="padded"), Interleaving(4)
    tried = []

    def passes() -> Iterator[Callable[[], int]]:
        def one() -> int:
            tried.append((interleaving.most, batcher.pass_tokens))
            if interleaving.most > 1 or batcher.pass_tokens > 10:
                raise torch.OutOfMemoryError("pretended")
            return 1

        return iter([one, one])

    found = in_fitting_passes(batcher, Compute(CPU), lambda: list(interleaving.run(passes())), interleaving)
    assert found == [1, 1]
    assert tried == [(4, 20), (2, 20), (1, 20), (1, 10), (1, 10)]
