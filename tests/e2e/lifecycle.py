"""Tests the whole lifecycle of a tuned model through the unmodified openai SDK."""

import csv
import io
import time
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob

from tests.e2e.server import BASE, jsonl

CHECKPOINTS_KEPT = 3
EPOCHS = 2
RESULT_HEADER = ["step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy"]


def wait(client: OpenAI, job_id: str, *, seconds: float = 1200) -> FineTuningJob:
    deadline = time.monotonic() + seconds
    while (job := client.fine_tuning.jobs.retrieve(job_id)).status not in (
        "succeeded",
        "failed",
        "cancelled",
    ):
        assert time.monotonic() < deadline, job
        time.sleep(0.3)
    return job


def request(client: OpenAI) -> dict[str, Any]:
    """Uploads the files of a job. Returns the arguments for creating it."""
    content = jsonl(40)
    training = client.files.create(file=("train.jsonl", content), purpose="fine-tune")
    assert training.id.startswith("file-")
    assert (training.object, training.filename, training.bytes) == ("file", "train.jsonl", len(content))
    assert client.files.wait_for_processing(training.id, poll_interval=0.1).status == "processed"
    assert client.files.content(training.id).read() == content
    validation = client.files.create(file=("valid.jsonl", jsonl(10, first=100)), purpose="fine-tune")
    assert [file.id for file in client.files.list(limit=2)][:2] == [validation.id, training.id]
    return {
        "model": BASE,
        "training_file": training.id,
        "validation_file": validation.id,
        "suffix": "orders",
        "seed": 7,
        "metadata": {"team": "shop"},
        "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": EPOCHS}}},
    }


def check_created(job: FineTuningJob) -> None:
    assert job.id.startswith("ftjob-")
    assert (job.status, job.fine_tuned_model, job.seed) == ("validating_files", None, 7)
    assert job.hyperparameters.n_epochs == EPOCHS
    assert job.hyperparameters.batch_size == "auto"


def check_ended(client: OpenAI, job: FineTuningJob) -> None:
    assert job.status == "succeeded", job.error
    assert isinstance(job.hyperparameters.batch_size, int)
    _events(client, job)
    check_model(client, job, n_epochs=EPOCHS)


def check_model(client: OpenAI, job: FineTuningJob, *, n_epochs: int) -> None:
    """Checks everything that the API says about a model and its training, and deletes the model."""
    assert job.trained_tokens
    assert job.trained_tokens > 0
    assert job.finished_at
    model = job.fine_tuned_model or ""
    assert model.startswith(f"ft:{BASE}:tunery:orders:")
    _results(client, job)
    _checkpoints(client, job, min(n_epochs, CHECKPOINTS_KEPT))
    _models(client, job)
    _completions(client, model)
    _chat(client, model)
    _delete(client, job)


def _events(client: OpenAI, job: FineTuningJob) -> None:
    events = list(client.fine_tuning.jobs.list_events(job.id, limit=7))[::-1]
    assert len({event.id for event in events}) == len(events)
    messages = [event.message for event in events]
    steps = [event.data["step"] for event in events if event.type == "metrics"]
    assert steps == list(range(1, steps[-1] + 1))
    log = [message for message, event in zip(messages, events, strict=True) if event.type == "message"]
    for expected in (
        f"Created fine-tuning job: {job.id}",
        f"Validating training file: {job.training_file} and validation file: {job.validation_file}",
        "Files validated, moving job to queued state",
        "Fine-tuning job started",
        f"New fine-tuned model created: {job.fine_tuned_model}",
        "The job has successfully completed",
    ):
        assert log.count(expected) == 1, (expected, log)
    assert log[-1] == "The job has successfully completed"
    last = next(event for event in reversed(events) if event.type == "metrics")
    assert {"train_loss", "train_mean_token_accuracy", "full_valid_loss"} <= set(last.data)


def _results(client: OpenAI, job: FineTuningJob) -> None:
    (result,) = job.result_files
    assert client.files.retrieve(result).purpose == "fine-tune-results"
    header, *rows = list(csv.reader(io.StringIO(client.files.content(result).text)))
    assert header == RESULT_HEADER
    assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1))
    assert float(rows[-1][1]) < float(rows[0][1])


def _checkpoints(client: OpenAI, job: FineTuningJob, count: int) -> None:
    checkpoints = client.fine_tuning.jobs.checkpoints.list(job.id, limit=100).data
    assert len(checkpoints) == count
    newest = checkpoints[0]
    assert newest.fine_tuning_job_id == job.id
    assert newest.fine_tuned_model_checkpoint == f"{job.fine_tuned_model}:ckpt-step-{newest.step_number}"
    answers = [
        client.completions.create(
            model=one.fine_tuned_model_checkpoint, prompt="order 3", max_tokens=4, temperature=0
        )
        for one in checkpoints
    ]
    assert all(answer.usage and answer.usage.completion_tokens <= 4 for answer in answers)


def _models(client: OpenAI, job: FineTuningJob) -> None:
    assert {BASE, job.fine_tuned_model} <= {model.id for model in client.models.list()}
    assert client.models.retrieve(job.fine_tuned_model or "").id == job.fine_tuned_model


def _completions(client: OpenAI, model: str) -> None:
    arguments = {"prompt": "order 12 qty 3", "max_tokens": 8, "temperature": 0}
    for name in (BASE, model):
        whole = client.completions.create(model=name, logprobs=2, **arguments)
        chunks = list(
            client.completions.create(
                model=name, stream=True, stream_options={"include_usage": True}, **arguments
            )
        )
        assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == whole.choices[0].text
        assert chunks[-1].usage == whole.usage
        assert whole.choices[0].logprobs
        # The end token has no text, but a log-probability like the others.
        assert len(whole.choices[0].logprobs.tokens or []) == whole.usage.completion_tokens
    scored = client.completions.create(model=model, prompt="order 12", max_tokens=0, echo=True, logprobs=1)
    assert scored.choices[0].text == "order 12"
    assert scored.choices[0].logprobs.token_logprobs[0] is None


def _chat(client: OpenAI, model: str) -> None:
    arguments = {
        "messages": [{"role": "user", "content": "order 12 qty 3"}],
        "max_completion_tokens": 24,
        "temperature": 0,
    }
    base = client.chat.completions.create(model=BASE, **arguments).choices[0].message.content
    tuned = client.chat.completions.create(model=model, **arguments).choices[0].message.content
    assert tuned != base
    streamed = client.chat.completions.create(model=model, stream=True, **arguments)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == tuned
    first, second = (
        client.chat.completions.create(model=model, **{**arguments, "temperature": 1, "seed": 5})
        .choices[0]
        .message.content
        for _ in range(2)
    )
    assert first == second
    stopped = client.completions.create(model=model, prompt="a b c", max_tokens=16, n=2, seed=1, stop=[" "])
    assert all(" " not in choice.text for choice in stopped.choices)


def _delete(client: OpenAI, job: FineTuningJob) -> None:
    assert client.models.delete(job.fine_tuned_model or "").deleted
    with pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.create(
            model=job.fine_tuned_model or "", messages=[{"role": "user", "content": "order 1"}]
        )
    assert refused.value.code == "model_not_found"
    assert client.files.delete(job.training_file).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(job.training_file)
