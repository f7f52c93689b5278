"""TensorBoard's event files, read back by TensorBoard."""

import math
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from service.db.scheduler.store import TimedMetrics
from service.scheduling.publishing.event_files import event_file


def read(folder: Path, metrics: list[TimedMetrics], config: dict[str, Any] | None = None) -> EventAccumulator:
    (folder / "events.out.tfevents.1.job").write_bytes(event_file(metrics, None, config or {}))
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    found.Reload()
    return found


def test_every_number_of_every_step_is_there(tmp_path: Path) -> None:
    metrics = [
        TimedMetrics(1_790_000_000 + number, {"step": number, "total_steps": 300, "train_loss": number / 7})
        for number in range(1, 301)
    ]
    found = read(tmp_path, metrics)
    assert found.Tags()["scalars"] == ["train_loss"]
    assert [(each.wall_time, each.step, each.value) for each in found.Scalars("train_loss")] == [
        (at, values["step"], pytest.approx(values["train_loss"])) for at, values in metrics
    ]


def test_numbers_that_are_not_finite_or_do_not_fit_do_not_break_the_file(tmp_path: Path) -> None:
    found = read(tmp_path, [TimedMetrics(1, {"step": 1, "loss": None, "high": 1e300, "low": -1e300})])
    assert math.isnan(found.Scalars("loss")[0].value)
    assert (found.Scalars("high")[0].value, found.Scalars("low")[0].value) == (math.inf, -math.inf)


def test_a_job_without_steps_has_a_readable_file(tmp_path: Path) -> None:
    found = read(tmp_path, [], {"name": "Ünïcode \u2603"})
    assert found.Tags()["scalars"] == []
    (config,) = found.Tensors("config")
    assert "Ünïcode \u2603".encode() in config.tensor_proto.string_val[0]
    assert found.Tags()["tensors"] == ["config"]
