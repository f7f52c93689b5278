"""Continues, evaluates and gates a tuned model, and trains an encoder to classify. Everything goes through
the unmodified openai SDK, with Tunery's own fields in `extra_body`."""

import json
import math
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob

from tests.e2e.lifecycle import wait
from tests.e2e.server import BASE, ENCODER, jsonl

STEPS = {"batch_size": 8, "n_epochs": 3}
REFUSED = "refused"
"""The name of the job whose model forgets too much."""

_STOPPED, _CLASSIFIER = "stopped early", "classifier"
_TEXTS = {"refund": "the invoice was charged twice", "praise": "thank you very much"}


def requests(client: OpenAI) -> dict[str, dict[str, Any]]:
    """Jobs to create for `check_improvement`, by name."""
    # No loss falls this much, so the second epoch is the last one, and the first epoch's checkpoint becomes
    # the model.
    stopping = {"patience": 1, "min_delta": 100.0}
    rows = [{"text": f"{text} {n}", "label": label} for n in range(16) for label, text in _TEXTS.items()]
    return {
        _STOPPED: _request(
            client, jsonl(40), STEPS, training={"validation_split": 0.2, "early_stopping": stopping}
        ),
        REFUSED: _request(client, jsonl(12), {"n_epochs": 1}, training={"max_regression": -1000}),
        _CLASSIFIER: _request(
            client, _lines(rows), STEPS | {"n_epochs": 8}, model=ENCODER, training={"type": "full"}
        ),
    }


def check_improvement(client: OpenAI, jobs: dict[str, FineTuningJob]) -> None:
    """Checks the ended `jobs`. Creates one more, which continues a tuned model."""
    tuned = _stopped_early(client, jobs[_STOPPED])
    preferring = _preferences(client, tuned)
    assert preferring != tuned
    _refused_for_regression(client, jobs[REFUSED])
    _classifier(client, jobs[_CLASSIFIER])


def _stopped_early(client: OpenAI, job: FineTuningJob) -> str:
    assert job.status == "succeeded", job.error
    assert job.fine_tuned_model
    evaluation = _evaluation(job)
    assert evaluation["held_out"]["n_examples"] == 8
    assert evaluation["held_out"]["tuned_loss"] < evaluation["held_out"]["base_loss"]
    assert evaluation["general"]["n_examples"] == 64
    rise = evaluation["general"]["tuned_loss"] - evaluation["general"]["base_loss"]
    assert evaluation["regression"] == pytest.approx(rise)
    assert evaluation["general_kl"] > 0
    assert [one.step_number for one in client.fine_tuning.jobs.checkpoints.list(job.id).data] == [8, 4]
    log = [event.message for event in client.fine_tuning.jobs.list_events(job.id)]
    assert any("checkpoint of step 4" in message for message in log), log
    model = client.models.retrieve(job.fine_tuned_model)
    assert model.to_dict()["tunery"]["evaluation"] == evaluation
    assert _score(client, job.fine_tuned_model) == _score(client, f"{job.fine_tuned_model}:ckpt-step-4")
    return job.fine_tuned_model


def _preferences(client: OpenAI, tuned: str) -> str:
    """Continues the tuned model, and compares the new model's answers with its answers."""
    request = _request(
        client,
        _pairs(20),
        STEPS | {"batch_size": 4, "beta": 0.2, "learning_rate_multiplier": 4},
        method="dpo",
        training={"from_checkpoint": tuned, "validation_split": 0.2},
    )
    job = wait(client, client.fine_tuning.jobs.create(**request).id)
    assert job.status == "succeeded", job.error
    assert job.fine_tuned_model
    assert job.method
    assert job.method.dpo
    assert job.method.dpo.hyperparameters
    assert job.method.dpo.hyperparameters.beta == 0.2
    held_out = _evaluation(job)["held_out"]
    assert held_out["n_examples"] == 4
    assert (held_out["base_loss"], held_out["base_accuracy"]) == (pytest.approx(math.log(2)), 0.5)
    assert held_out["tuned_loss"] < math.log(2)
    (last,) = client.fine_tuning.jobs.checkpoints.list(job.id, limit=1).data
    assert last.metrics.to_dict()["reward_margin"] > 0
    assert _score(client, job.fine_tuned_model) != _score(client, tuned)
    return job.fine_tuned_model


def _refused_for_regression(client: OpenAI, job: FineTuningJob) -> None:
    assert job.error
    assert (job.status, job.fine_tuned_model) == ("failed", None)
    assert job.error.code == "max_regression_exceeded"
    assert _evaluation(job)["regression"] > -1000
    (checkpoint,) = client.fine_tuning.jobs.checkpoints.list(job.id).data
    assert _score(client, checkpoint.fine_tuned_model_checkpoint) < 0


def _classifier(client: OpenAI, job: FineTuningJob) -> None:
    assert job.status == "succeeded", job.error
    model = job.fine_tuned_model or ""
    arguments: dict[str, Any] = {"model": model, "input": [f"{text} 99" for text in _TEXTS.values()]}
    answer: Any = client.post("/classifications", cast_to=object, body=arguments)
    assert [one["label"] for one in answer["data"]] == list(_TEXTS)
    for one in answer["data"]:
        assert sum(one["scores"].values()) == pytest.approx(1)
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(model=model, prompt="the invoice")
    assert refused.value.code == "not_a_generator"
    _vectors(client, model)


def _vectors(client: OpenAI, tuned: str) -> None:
    """Checks that texts of different classes are further apart than before training."""
    texts = ["the invoice was charged twice 99", "thank you very much 99"]
    alike: dict[str, float] = {}
    for model in (ENCODER, tuned):
        answer = client.embeddings.create(model=model, input=texts)
        one, other = (item.embedding for item in answer.data)
        assert math.hypot(*one) == pytest.approx(1, abs=1e-5)
        alike[model] = sum(a * b for a, b in zip(one, other, strict=True))
    assert alike[tuned] < alike[ENCODER]


def _request(
    client: OpenAI,
    content: bytes,
    hyperparameters: dict[str, Any],
    *,
    training: dict[str, Any],
    model: str = BASE,
    method: str = "supervised",
) -> dict[str, Any]:
    file = client.files.create(file=("train.jsonl", content), purpose="fine-tune")
    return {
        "model": model,
        "training_file": file.id,
        "seed": 7,
        "method": {"type": method, method: {"hyperparameters": hyperparameters}},
        "extra_body": {"training": training},
    }


def _evaluation(job: FineTuningJob) -> dict[str, Any]:
    found: Any = job.to_dict()["tunery"]
    evaluation: dict[str, Any] = found["evaluation"]
    return evaluation


def _score(client: OpenAI, model: str) -> float:
    """Log-probability of a sentence of the training file."""
    answer = client.completions.create(
        model=model, prompt="Order 3 holds 4 pieces.", max_tokens=0, echo=True, logprobs=0
    )
    assert answer.choices[0].logprobs
    assert answer.choices[0].logprobs.token_logprobs
    return sum(answer.choices[0].logprobs.token_logprobs[1:])


def _pairs(count: int) -> bytes:
    return _lines(
        [
            {
                "input": {"messages": [{"role": "user", "content": f"order {n} qty {n % 7 + 1}"}]},
                "preferred_output": [{"role": "assistant", "content": f"{n % 7 + 1} pieces."}],
                "non_preferred_output": [{"role": "assistant", "content": "Ask somebody else."}],
            }
            for n in range(count)
        ]
    )


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
