"""Integrations on both databases, from the job's row to the runner, and from the runner to the job."""

import io
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cluster.contracts.integrations import TrackioOptions, WandbOptions
from cluster.contracts.jobs import JobStatus, NumberedReport
from cluster.storage.keys import file_key
from service.db.files.files import Files
from service.db.ids import event_file_id
from service.db.jobs.jobs import Job
from service.scheduling.sweeping.sweep import SweepOptions, sweep
from tests.api import REPORT
from tests.service.db.rows import TENANT, log_of, step
from tests.service.scheduling.world import TOTAL_STEPS, World

WANDB = {"type": "wandb", "wandb": {"project": "orders", "name": None, "entity": None, "tags": ["a"]}}
TRACKIO = {"type": "trackio", "trackio": {"project": "orders", "name": "first"}}
MLFLOW = {"type": "mlflow", "mlflow": {"experiment": "orders", "name": None}}
TENSORBOARD = {"type": "tensorboard"}
PAGE = "https://wandb.example/team/orders/runs/1"


@pytest.fixture
def world(world: World) -> World:
    enabled = {
        "integrations": ("wandb", "trackio", "tensorboard"),
        "trackio_url": "file:///runs",
        "training_slots": 8,
    }
    world.settings = world.settings.model_copy(update=enabled)
    return world


def started(world: World, *integrations: dict[str, Any]) -> Job:
    job = world.job(integrations=list(integrations) or None)
    scheduler = world.scheduler()
    scheduler.tick()
    scheduler.tick()
    assert world.status(job) is JobStatus.STARTING
    return job


def report(seq: int, **what: Any) -> NumberedReport:
    return NumberedReport(**{"seq": seq, "created_at": 1, "tracker": "wandb", **what})


def test_the_runner_is_told_of_the_trackers_and_of_no_key(world: World) -> None:
    world.settings = world.settings.model_copy(update={"wandb_entity": "team"})
    job = started(world, WANDB, TRACKIO, TENSORBOARD)
    tracking = world.spec(f"{job.id}-a1").tracking
    assert tracking is not None
    wandb, trackio = tracking.trackers
    assert (wandb.url, wandb.options) == (
        "https://api.wandb.ai",
        WandbOptions(project="orders", entity="team", tags=["a"]),
    )
    assert (trackio.url, trackio.options) == ("file:///runs", TrackioOptions(project="orders", name="first"))
    assert tracking.config == {
        "fine_tuned_model": job.output_model,
        "training_file": job.training_file,
        "training_file_name": "data.jsonl",
        "learning_rate_multiplier": 1.0,
    }


def test_a_job_without_trackers_has_none_nor_one_whose_tracker_was_disabled(world: World) -> None:
    assert world.spec(f"{started(world).id}-a1").tracking is None
    assert world.spec(f"{started(world, TENSORBOARD).id}-a1").tracking is None
    assert world.spec(f"{started(world, MLFLOW).id}-a1").tracking is None


def test_the_page_of_a_run_is_an_event_once_in_openais_words(world: World) -> None:
    job = started(world, WANDB)
    world.sync(job, [report(0, url=PAGE)])
    # Another attempt opens the same run.
    world.sync(job, [report(1, url=PAGE)])
    (event,) = [each for each in log_of(world.database, job.id) if "Streaming" in each.message]
    assert event.message == f"Streaming metrics to Weights and Biases run {PAGE}"
    assert (event.level, event.data) == ("info", {"integration": "wandb", "url": PAGE})
    assert world.see(job).integration_results == {"wandb": {"url": PAGE}}


def test_a_problem_of_a_tracker_is_one_warning_and_the_job_goes_on(world: World) -> None:
    job = started(world, WANDB)
    world.sync(job, [report(0, url=PAGE)])
    for seq in (1, 2):
        world.sync(job, [report(seq, problem="It does not\x00 answer.")])
    (event,) = [each for each in log_of(world.database, job.id) if each.level == "warn"]
    assert event.message == "Weights and Biases gets no more metrics from this job. It does not\ufffd answer."
    assert world.see(job).integration_results["wandb"] == {
        "url": PAGE,
        "problem": "It does not\ufffd answer.",
    }
    world.train(job)
    world.scheduler().tick()
    assert world.status(job) is JobStatus.SUCCEEDED


def test_a_file_for_tensorboard_is_published_with_the_model(world: World, tmp_path: Path) -> None:
    job = started(world, TENSORBOARD)
    world.train(job, REPORT)
    world.scheduler().tick()
    done = world.see(job)
    file_id = done.integration_results["tensorboard"]["file"]
    assert done.result_file != file_id
    with world.database.read() as session:
        file = Files(session, TENANT).get(file_id)
    assert (file.purpose, file.filename) == (
        "fine-tune-results",
        f"events.out.tfevents.{job.created_at}.{job.id}",
    )
    content = world.store.get(file.object_key)
    assert file.bytes == len(content)
    (tmp_path / file.filename).write_bytes(content)
    found = EventAccumulator(str(tmp_path))
    found.Reload()
    losses = [(each.step, each.value) for each in found.Scalars("train_loss")]
    assert losses == [(number, pytest.approx(1 / number)) for number in range(1, TOTAL_STEPS + 1)]
    assert [each.step for each in found.Scalars("evaluation/held_out/tuned_loss")] == [TOTAL_STEPS]
    (config,) = found.Tensors("config")
    assert b'"training_file_name": "data.jsonl"' in config.tensor_proto.string_val[0]


def test_a_job_that_did_not_ask_for_tensorboard_has_no_file(world: World) -> None:
    job = started(world)
    world.train(job)
    world.scheduler().tick()
    assert (world.status(job), world.see(job).integration_results) == (JobStatus.SUCCEEDED, {})


def test_a_sweep_leaves_the_file_of_a_job_that_is_being_published(world: World) -> None:
    job = started(world, TENSORBOARD)
    world.train(job)
    key = file_key(event_file_id(job.id))
    world.store.put(key, io.BytesIO(b"events"))
    options = SweepOptions(grace_seconds=0, resume_state_seconds=0)
    sweep(world.database, world.store, options)
    assert world.store.get(key) == b"events"
    world.scheduler().tick()
    sweep(world.database, world.store, options)
    assert world.store.stat(key).bytes > len(b"events")


def test_steps_are_named_as_in_events(world: World) -> None:
    """Trackers and event files have the same names."""
    from cluster.tracking.run import metrics_of as tracked

    job = started(world)
    world.sync(job, [step(0, 1, TOTAL_STEPS)])
    (event,) = [each for each in log_of(world.database, job.id) if each.type == "metrics"]
    assert set(tracked(step(0, 1, TOTAL_STEPS))) - {"seq"} == set(event.data) - {
        "step",
        "total_steps",
        "eta_seconds",
        "attempt",
    }
