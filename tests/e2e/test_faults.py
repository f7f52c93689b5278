"""`kill -9` of each process during a job and of the whole, on PostgreSQL and S3; then the lifecycle of the
model that comes of it, and the audit of all that has happened. `make chaos` does more of it, for longer."""

import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from openai import OpenAI

from cluster.storage.location import open_store
from service.db.database import Database
from tests.chaos.auditor import audit, audit_end
from tests.chaos.history import read_history, record_transitions
from tests.databases import migrated_database
from tests.e2e import lifecycle
from tests.e2e.lifecycle import wait
from tests.e2e.server import TUNERY, Tunery, await_true, running
from tests.s3_servers import S3Endpoint

pytestmark = [pytest.mark.e2e, pytest.mark.thorough]

KEY = "k" * 32
EPOCHS = 24
STEPS_OF_AN_EPOCH = 10


@pytest.fixture
def recorded_url(postgres_url: str) -> Iterator[str]:
    """URL of a database that writes down what becomes of jobs."""
    with migrated_database(postgres_url) as url:
        with closing(Database(url)) as database:
            record_transitions(database)
        yield url


def test_a_job_survives_kills_of_every_process_and_of_the_whole_with_one_model_and_every_event_once(
    tmp_path: Path, recorded_url: str, s3_endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    storage_url = f"s3://{s3_endpoint.bucket}/tunery"
    environment = {
        "TUNERY_DATABASE_URL": recorded_url,
        "TUNERY_STORAGE_URL": storage_url,
        **s3_endpoint.environment,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with running(data, key=KEY, TUNERY_HEARTBEAT_TIMEOUT_SECONDS="6") as tunery:
        client = tunery.client()
        request = lifecycle.request(client)
        request["method"]["supervised"]["hyperparameters"] = {"n_epochs": EPOCHS, "batch_size": 4}
        job = client.fine_tuning.jobs.create(**request)
        await_true(lambda: _newest_checkpoint(client, job.id) > 0, 300, "a first checkpoint")
        _kill_each_process(tunery)
        tunery.wait_ready()
        before = _newest_checkpoint(client, job.id)
        await_true(lambda: _newest_checkpoint(client, job.id) > before, 300, "a checkpoint after the kills")
        assert client.fine_tuning.jobs.retrieve(job.id).status == "running"
        around, ray_log = _kill_the_whole(tunery)
    with running(data, key=KEY) as tunery:
        assert not around.exists()
        assert ray_log.exists()
        client = tunery.client()
        finished = wait(client, job.id)
        assert finished.status == "succeeded", finished.error
        events = list(client.fine_tuning.jobs.list_events(job.id, limit=100))
        steps = [event.data["step"] for event in events if event.type == "metrics"]
        assert len(steps) == EPOCHS * STEPS_OF_AN_EPOCH
        created = [event for event in events if event.message.startswith("New fine-tuned model created")]
        assert len(created) == 1
        models = [model.id for model in client.models.list() if model.id.startswith("ft:")]
        assert models == [finished.fine_tuned_model]
        lifecycle.check_model(client, finished, n_epochs=EPOCHS)
        _sweep_leaves_nothing_once_everything_is_deleted(client, data, storage_url, s3_endpoint.url)
    with closing(Database(recorded_url)) as database:
        history = read_history(database, objects=(), accepted=[job.id])
    assert audit(history, checkpoint_steps=2 * STEPS_OF_AN_EPOCH) + audit_end(history) == []
    assert not (data / "tunery.db").exists()
    assert not (data / "objects").exists()


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


def _kill_the_whole(tunery: Tunery) -> tuple[Path, Path]:
    """Kills the supervisor, with which everything ends. Returns Ray's folder, which the next start removes,
    and where that keeps one of its logs."""
    around = Path((tunery.folder / "ray.folder").read_text().strip())
    logs = tunery.folder / "logs" / "ray"
    (session,) = [path.name for path in (around / "ray").glob("session_*") if path.name != "session_latest"]
    descendants = tunery.descendants()
    tunery.process.kill()
    tunery.process.communicate()
    _, alive = psutil.wait_procs(descendants, timeout=20)
    for left in alive:
        left.kill()
    assert (logs / "now").is_symlink()
    return around, logs / session / "gcs_server.out"


def _sweep_leaves_nothing_once_everything_is_deleted(
    client: OpenAI, data: Path, storage_url: str, endpoint_url: str
) -> None:
    for file in client.files.list().data:
        client.files.delete(file.id)
    command = [TUNERY, "sweep", "--data", data, "--grace", "0"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNERY_RESUME_STATE_SECONDS", "0")
        swept = subprocess.run(command, capture_output=True, text=True)
    assert swept.returncode == 0, swept.stderr
    left = [info.key for info in open_store(storage_url, endpoint_url=endpoint_url).list()]
    # Those of a fresh installation are the readiness probe's.
    assert [key for key in left if not key.startswith("health/")] == [], swept.stdout
