"""The messages between runners and the service keep their format from release to release."""

import json

from cluster.contracts.jobs import (
    CheckpointSaved,
    Finished,
    RunnerMessage,
    StepMetrics,
    SyncRequest,
    number_event,
)
from cluster.contracts.weights import WeightsRef


def test_weights_are_named_by_flat_fields_on_the_wire() -> None:
    weights = WeightsRef(digest="d" * 64, manifest_key="jobs/j/manifest.json", form="full")
    finished = Finished.of(weights, trained_tokens=5)
    assert json.loads(finished.model_dump_json()) == {
        "state": "finished",
        "trained_tokens": 5,
        "manifest_key": "jobs/j/manifest.json",
        "manifest_sha256": "d" * 64,
        "form": "full",
        "report": None,
        "cost": None,
    }
    assert finished.weights == weights


def test_events_travel_flat_with_their_numbers() -> None:
    metrics = StepMetrics(
        created_at=7,
        step=3,
        total_steps=9,
        train_loss=float("nan"),
        train_mean_token_accuracy=0.5,
        learning_rate=1e-3,
        grad_norm=1.5,
        tokens_per_second=1000.0,
        eta_seconds=60.0,
    )
    weights = WeightsRef(digest="d" * 64, manifest_key="jobs/j/manifest.json")
    events = [
        metrics,
        CheckpointSaved.of(weights, created_at=8, step=3, metrics=metrics),
        RunnerMessage(created_at=9, message="hi"),
    ]
    request = SyncRequest(events=[number_event(event, seq) for seq, event in enumerate(events, start=4)])
    step, checkpoint, message = json.loads(request.model_dump_json())["events"]
    assert (step["type"], step["seq"], step["created_at"], step["train_loss"]) == ("step", 4, 7, "NaN")
    assert (checkpoint["type"], checkpoint["seq"], checkpoint["metrics"]["step"]) == ("checkpoint", 5, 3)
    # A service of an earlier release requires a number here.
    assert checkpoint["metrics"]["seq"] == 5
    assert message == {"type": "message", "seq": 6, "created_at": 9, "level": "info", "message": "hi"}
    read = SyncRequest.model_validate_json(request.model_dump_json())
    assert [event.seq for event in read.events] == [4, 5, 6]
