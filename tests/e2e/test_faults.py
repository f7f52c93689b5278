"""`kill -9` of each process during a job, then a restart of the whole."""

import os
import subprocess
from pathlib import Path

import pytest
from openai import OpenAI

from tests.e2e.lifecycle import wait
from tests.e2e.server import BASE, TUNERY, Tunery, await_true, jsonl, running

pytestmark = pytest.mark.e2e

KEY = "k" * 32
EPOCHS = 24
STEPS_OF_AN_EPOCH = 10


def test_a_job_survives_kills_of_every_process_and_a_restart_with_one_model_and_every_event_once(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    with running(data, key=KEY, TUNERY_HEARTBEAT_TIMEOUT_SECONDS="6") as tunery:
        client = tunery.client()
        file = client.files.create(file=("train.jsonl", jsonl(4 * STEPS_OF_AN_EPOCH)), purpose="fine-tune")
        job = client.fine_tuning.jobs.create(
            model=BASE, training_file=file.id, hyperparameters={"n_epochs": EPOCHS, "batch_size": 4}
        )
        await_true(lambda: _newest_checkpoint(client, job.id) > 0, 180, "a first checkpoint")
        _kill_each_process(tunery)
        tunery.wait_ready()
        before = _newest_checkpoint(client, job.id)
        await_true(lambda: _newest_checkpoint(client, job.id) > before, 180, "a checkpoint after the kills")
        assert client.fine_tuning.jobs.retrieve(job.id).status == "running"
    with running(data, key=KEY) as tunery:
        client = tunery.client()
        assert client.files.content(file.id).read() == jsonl(4 * STEPS_OF_AN_EPOCH)
        finished = wait(client, job.id)
        assert finished.status == "succeeded", finished.error
        events = list(client.fine_tuning.jobs.list_events(job.id, limit=100))
        steps = [event.data["step"] for event in events if event.type == "metrics"]
        assert sorted(steps) == list(range(1, EPOCHS * STEPS_OF_AN_EPOCH + 1))
        assert len({event.id for event in events}) == len(events)
        created = [event for event in events if event.message.startswith("New fine-tuned model created")]
        assert len(created) == 1
        models = [model.id for model in client.models.list() if model.id.startswith("ft:")]
        assert models == [finished.fine_tuned_model]
        _sweep_leaves_nothing_once_everything_is_deleted(client, data, models)


def _newest_checkpoint(client: OpenAI, job_id: str) -> int:
    """Its step, or 0 if there is none."""
    return max((one.step_number for one in client.fine_tuning.jobs.checkpoints.list(job_id).data), default=0)


def _kill_each_process(tunery: Tunery) -> None:
    runner = tunery.find("cluster.runner")
    assert runner is not None
    assert runner.nice() <= 0, "its heartbeats arrive however busy the host is"
    for module in ("service.api", "service.scheduling", "cluster.runner"):
        victim = tunery.find(module)
        assert victim is not None, module
        victim.kill()


def _sweep_leaves_nothing_once_everything_is_deleted(client: OpenAI, data: Path, models: list[str]) -> None:
    for model in models:
        client.models.delete(model)
    for file in client.files.list().data:
        client.files.delete(file.id)
    swept = subprocess.run(
        [TUNERY, "sweep", "--data", data, "--grace", "0"],
        env={**os.environ, "TUNERY_RESUME_STATE_SECONDS": "0"},
        capture_output=True,
        text=True,
    )
    assert swept.returncode == 0, swept.stderr
    objects = [path for path in (data / "objects").rglob("*") if path.is_file()]
    # Those of a fresh installation are the readiness probe's.
    assert [path for path in objects if path.parent.name != "health"] == [], swept.stdout
