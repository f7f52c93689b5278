"""What the trainer writes is what the engine serves: the publish gate's own question."""

import json
from pathlib import Path

import pytest
import torch

from cluster.contracts.bases import TrainingType
from cluster.contracts.generation import AdapterRef, TokenPrompt
from cluster.contracts.hyperparameters import Hyperparameters, TrainingOptions, resolve
from cluster.contracts.jobs import Finished, JobSpec
from cluster.contracts.manifest import Manifest
from cluster.storage.keys import file_key
from cluster.storage.local import LocalStore
from cluster.training.attempt import run_attempt
from tests.cluster.serving.conftest import Serve
from tests.tiny_base import make_tiny_base


@pytest.mark.parametrize("type_", ["lora", "full"])
def test_a_checkpoint_is_served_with_the_trainers_own_probabilities(
    serve: Serve, tmp_path: Path, type_: TrainingType
) -> None:
    store = LocalStore(tmp_path / "store")
    base = make_tiny_base(tmp_path / "base")
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Say {n}."},
                {"role": "assistant", "content": f"Fox {n}."},
            ]
        }
        for n in range(12)
    ]
    data = store.put(file_key("file-1"), "\n".join(map(json.dumps, rows)).encode())
    assert data.sha256 is not None
    _, config = resolve(
        Hyperparameters(n_epochs=2, batch_size=4), TrainingOptions(type=type_), base, n_examples=12, seed=1
    )
    spec = JobSpec(
        job_id="ftjob-1",
        attempt=1,
        attempt_token="t",
        service_url="",
        base=base,
        config=config,
        training_key=data.key,
        training_sha256=data.sha256,
    )
    end = run_attempt(
        spec, store, report=lambda event: None, command=lambda: "continue", device=torch.device("cpu")
    )
    assert isinstance(end, Finished)
    probe = Manifest.model_validate_json(store.get(end.manifest_key)).probe
    assert probe.token_ids

    served = serve(base=base, store=store)
    tuned = AdapterRef(digest=end.manifest_sha256, manifest_key=end.manifest_key, type=type_)

    def score(adapter: AdapterRef | None, row: list[int]) -> list[float | None]:
        prompt = TokenPrompt(token_ids=row)
        answer = served.ask(served.request(adapter, prompt, echo=True, logprobs=0, max_tokens=0))
        assert answer.prompt is not None
        return [token.logprob for token in answer.prompt.tokens][1:]

    for row, expected in zip(probe.token_ids, probe.logprobs, strict=True):
        assert score(tuned, row) == pytest.approx(expected, abs=1e-5)
        assert score(None, row) != pytest.approx(expected, abs=1e-2), "the base itself says something else"
