"""`kill -9` of each process during a job."""

import pytest

from tests.e2e.lifecycle import wait
from tests.e2e.server import BASE, await_true, jsonl, running

pytestmark = pytest.mark.e2e


def test_job_survives_kills_of_api_scheduler_and_runner_with_one_model_and_every_event_once(tmp_path) -> None:
    with running(tmp_path / "data", TUNERY_HEARTBEAT_TIMEOUT_SECONDS="6") as tunery:
        client = tunery.client()
        file = client.files.create(file=("train.jsonl", jsonl(40)), purpose="fine-tune")
        job = client.fine_tuning.jobs.create(
            model=BASE, training_file=file.id, hyperparameters={"n_epochs": 12, "batch_size": 4}
        )

        def checkpoints() -> int:
            return len(client.fine_tuning.jobs.checkpoints.list(job.id).data)

        await_true(lambda: checkpoints() > 0, 180, "a first checkpoint")
        runner = tunery.find("cluster.runner")
        assert runner is not None
        assert runner.nice() <= 0, "its heartbeats arrive however busy the host is"
        for module in ("service.api", "service.scheduling", "cluster.runner"):
            victim = tunery.find(module)
            assert victim is not None, module
            victim.kill()
        tunery.wait_ready()
        finished = wait(client, job.id)
        assert finished.status == "succeeded", finished.error
        events = list(client.fine_tuning.jobs.list_events(job.id, limit=100))
        steps = [event.data["step"] for event in events if event.type == "metrics"]
        assert sorted(steps) == list(range(1, 121))
        assert len({event.id for event in events}) == len(events)
        created = [event for event in events if event.message.startswith("New fine-tuned model created")]
        assert len(created) == 1
        assert [model.id for model in client.models.list() if model.id.startswith("ft:")] == [
            finished.fine_tuned_model
        ]
