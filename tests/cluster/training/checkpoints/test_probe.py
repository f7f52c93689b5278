"""The trainer stores what the publish gate compares: scores of the tuned model, and of the base alone."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from cluster.contracts.bases import BaseSpec
from cluster.contracts.jobs import Finished, JobSpec
from cluster.contracts.manifest import Manifest
from cluster.storage.local import LocalStore
from cluster.training.checkpoints.probe import score_probe
from cluster.training.data.dataset import Dataset
from tests.cluster.training.recording import record


def rows_of(length: int, number: int) -> Dataset:
    return Dataset(
        format="completion",
        token_ids=np.ones(length * number, np.int32),
        mask=np.ones(length * number, np.bool_),
        offsets=np.arange(number + 1, dtype=np.int64) * length,
        lines=np.arange(1, number + 1, dtype=np.int32),
        truncated_lines=[],
        dropped_lines=[],
    )


class Uniform(torch.nn.Module):
    """Gives all of 8 tokens the same score."""

    device = torch.device("cpu")

    def forward(self, input_ids: torch.Tensor, use_cache: bool) -> SimpleNamespace:
        return SimpleNamespace(logits=torch.zeros(*input_ids.shape, 8))


@pytest.mark.parametrize(
    ("length", "number", "expected"),
    [(200, 9, [128] * 4), (100, 9, [100] * 6), (10, 50, [10] * 16), (10, 3, [10] * 3)],
)
def test_rows_are_taken_until_there_are_512_tokens_and_16_at_most(
    length: int, number: int, expected: list[int]
) -> None:
    data = rows_of(length, number)
    probe = score_probe(Uniform(), data)
    assert [len(row) for row in probe.token_ids] == expected
    assert [len(row) + 1 for row in probe.logprobs] == expected
    assert len(score_probe(Uniform(), data, most_rows=2).token_ids) == 2


PREFIX = {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 4}


@pytest.mark.parametrize(
    "training",
    [{"type": "lora"}, {"type": "full"}, {"type": "peft", "peft_config": PREFIX}],
    ids=lambda training: training["type"],
)
def test_the_base_is_scored_without_what_was_trained(
    make_spec: Callable[..., JobSpec], store: LocalStore, base: BaseSpec, training
) -> None:
    recording = record(make_spec(n_epochs=1, learning_rate=1e-2, **training), store)
    assert isinstance(recording.result, Finished)
    probe = Manifest.model_validate_json(store.get(recording.result.manifest_key)).probe
    assert probe.base is not None
    plain = AutoModelForCausalLM.from_pretrained(Path(base.source.path), dtype=torch.float32)
    for place, row in enumerate(probe.token_ids):
        with torch.no_grad():
            scores = plain(torch.tensor([row])).logits[0, :-1].log_softmax(-1)
        chosen = scores.gather(-1, torch.tensor(row)[1:, None])[:, 0]
        torch.testing.assert_close(chosen, torch.tensor(probe.base.logprobs[place]), atol=1e-5, rtol=1e-5)
        assert probe.base.top_ids[place] == scores.argmax(-1).tolist()
    assert probe.logprobs != probe.base.logprobs
    assert [len(ids) for ids in probe.top_ids] == [len(row) for row in probe.logprobs]
