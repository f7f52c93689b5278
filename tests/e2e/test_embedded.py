"""The default installation: SQLite, a folder and a local Ray."""

import shlex
import stat
import subprocess
import time
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx2
import openai
import psutil
import pytest
from tunery_client import NotFound
from tunery_client import Tunery as Client
from tunery_client.types import FineTuningJob

from service.ports import free_ports
from tests.e2e.at_once import Jobs, check_at_once, run_at_once
from tests.e2e.dashboard import check_dashboard
from tests.e2e.examples import check_examples
from tests.e2e.improvement import check_improvement
from tests.e2e.lifecycle import check_ended
from tests.e2e.migration import check_migration
from tests.e2e.pasting import clone_in, examples_of, parted, paste, with_our_places
from tests.e2e.server import ABSENT, BASE, TUNERY, Tunery, await_true, jsonl

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def at_once(embedded: Tunery) -> Jobs:
    """The first use of the server, because later ones find everything imported, loaded and compiled."""
    return run_at_once(embedded.client())


def test_jobs_of_six_kinds_created_at_once_on_a_fresh_server_all_end_as_they_should(
    embedded: Tunery, at_once: Jobs
) -> None:
    check_at_once(embedded.client(), at_once)


def test_openai_sdk_covers_the_whole_lifecycle_of_a_model(embedded: Tunery, at_once: Jobs) -> None:
    check_ended(embedded.client(), at_once["lifecycle"])


def test_our_own_client_estimates_and_repeats_a_job_and_covers_the_lifecycle_of_its_model(
    embedded: Tunery, at_once: Jobs, tmp_path: Path
) -> None:
    path = tmp_path / "orders.jsonl"
    path.write_bytes(jsonl(40))
    with Client(embedded.url, embedded.key) as tunery:
        file = tunery.files.upload(path)
        assert (file.status, tunery.files.content(file.id)) == ("processed", path.read_bytes())
        former = tunery.jobs.retrieve(at_once["qlora"].id)
        job = _repeated(tunery, former)
        model = job.fine_tuned_model
        assert model
        assert {BASE, model} <= {one.id for one in tunery.models.list()}
        (checkpoint,) = tunery.jobs.checkpoints(job.id)
        arguments = {
            "messages": [{"role": "user", "content": "order 3 qty 4"}],
            "max_tokens": 16,
            "temperature": 0,
        }
        for name in (BASE, model, checkpoint.fine_tuned_model_checkpoint):
            whole = tunery.chat.create(model=name, **arguments).choices[0].message.content
            chunks = tunery.chat.stream(model=name, **arguments)
            assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole
        scored = tunery.completions.create(model=model, prompt="order 3", max_tokens=0, echo=True, logprobs=0)
        assert scored.choices[0].text == "order 3"
        assert tunery.files.content(job.result_files[0]).startswith(b"step,train_loss,")
        tunery.models.delete(model)
        with pytest.raises(NotFound):
            tunery.models.retrieve(model)
        tunery.files.delete(file.id)
        assert job.id in [one.id for one in tunery.jobs.list()]


def _repeated(tunery: Client, former: FineTuningJob) -> FineTuningJob:
    """An estimate from the former job's measurements has the tokens and steps that its repetition then has,
    and that has the same losses."""

    def losses(job_id: str) -> list[float]:
        events = [event.to_dict() for event in tunery.jobs.events(job_id)]
        return [event["data"]["train_loss"] for event in events if event["type"] == "metrics"]

    cost, provenance = former.tunery.cost, former.tunery.provenance
    assert cost
    assert provenance
    request = {"model": former.model, "training_file": former.training_file}
    estimate = tunery.jobs.estimate(**request, training={"source_job": former.id})
    assert estimate.tokens.trained == former.trained_tokens
    assert estimate.steps == len(losses(former.id))
    assert estimate.seed == former.seed
    assert estimate.time
    assert estimate.time.based_on >= 1
    assert estimate.time.total.low <= cost.seconds <= estimate.time.total.high
    (row,) = tunery.jobs.preview(**request, lines=[2]).data
    assert "".join(token.token for token in row.sequences[0].tokens if token.learned).startswith("Order 1 ")

    heard: list[str] = []
    created = tunery.jobs.replay(former.id)
    job = tunery.jobs.wait(created.id, on_event=lambda event: heard.append(event.id), timeout_seconds=1200)
    assert (job.id, job.status, job.error) == (created.id, "succeeded", None)
    assert heard == [event.id for event in tunery.jobs.events(job.id)][::-1]
    assert job.trained_tokens == estimate.tokens.trained
    assert losses(job.id) == losses(former.id)
    assert job.tunery.provenance == provenance
    return job


@pytest.mark.thorough
def test_the_dashboard_leads_from_a_file_to_a_model_that_answers(embedded: Tunery) -> None:
    check_dashboard(embedded)


@pytest.mark.thorough
def test_a_job_of_an_openai_account_is_trained_again_and_its_model_answers_under_the_old_name(
    embedded: Tunery, tmp_path: Path
) -> None:
    check_migration(embedded, tmp_path)


@pytest.mark.thorough
def test_every_example_runs(embedded: Tunery, tmp_path: Path) -> None:
    check_examples(embedded, tmp_path)


def test_every_example_of_the_readme_runs_as_pasted(
    embedded: Tunery,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The server was started by README's command already; a thorough test runs that itself, and the demo."""
    examples = with_our_places(examples_of(["README.md"]), port=embedded.port, encoder=tmp_path)
    (started,), examples = parted(examples, "tunery up")
    _, examples = parted(examples, "make demo")
    assert shlex.split(started.text)[1:] == ["up", "--data", "./tunery-data", "--port", str(embedded.port)]
    monkeypatch.chdir(clone_in(tmp_path))
    Path("tunery-data").symlink_to(embedded.folder)
    jobs = paste(examples, embedded, monkeypatch)
    assert {job.model for job in jobs} == {BASE}
    assert "copper kettle" in capsys.readouterr().out


def test_a_tuned_model_is_improved_evaluated_and_gated_and_an_encoder_classifies(
    embedded: Tunery, at_once: Jobs
) -> None:
    check_improvement(embedded.client(), at_once)


def test_a_running_job_is_paused_resumed_and_cancelled_within_five_seconds_whatever_is_killed_meanwhile(
    embedded: Tunery,
) -> None:
    client = embedded.client()
    file = client.files.create(file=("train.jsonl", jsonl(200)), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(
        model=BASE, training_file=file.id, hyperparameters={"n_epochs": 50, "batch_size": 1}
    )

    def steps() -> list[int]:
        """Numbers of the newest steps, the newest first."""
        events = client.fine_tuning.jobs.list_events(job.id).data
        return [event.data["step"] for event in events if event.type == "metrics"]

    def has_status(status: str) -> bool:
        return client.fine_tuning.jobs.retrieve(job.id).status == status

    await_true(lambda: bool(steps()), 300, "the job takes steps")
    assert client.fine_tuning.jobs.pause(job.id).status == "pausing"
    await_true(lambda: has_status("paused"), 300, "the job is paused")
    await_true(lambda: embedded.find("cluster.runner") is None, 300, "nothing of it runs")
    last = max(steps())
    (newest,) = client.fine_tuning.jobs.checkpoints.list(job.id, limit=1).data
    assert newest.step_number == last

    for module in ("service.api", "service.scheduling"):
        victim = embedded.find(module)
        assert victim
        victim.kill()
    embedded.wait_ready()
    assert client.fine_tuning.jobs.resume(job.id).status == "queued"
    await_true(lambda: max(steps()) > last, 300, "the job takes steps again")
    resumed = [
        event.data["step"]
        for event in client.fine_tuning.jobs.list_events(job.id, limit=100)
        if event.type == "metrics"
    ]
    assert sorted(resumed) == list(range(1, len(resumed) + 1)), "every step once"

    started = time.monotonic()
    assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    await_true(lambda: embedded.find("cluster.runner") is None, 5, "the runner is gone")
    assert time.monotonic() - started < 5
    with pytest.raises(openai.APIStatusError):
        client.fine_tuning.jobs.cancel(job.id)


def test_a_base_without_its_folder_is_listed_as_unavailable_and_refused_with_the_reason(
    embedded: Tunery,
) -> None:
    client = embedded.client(max_retries=0)

    def listed() -> str | None:
        model: Any = client.models.retrieve(ABSENT).to_dict()
        reason: str | None = model["tunery"]["unavailable"]
        return reason

    await_true(lambda: listed() is not None, 300, "the cluster has reported its models")
    assert "its folder does not exist" in (listed() or "")
    file = client.files.create(file=("train.jsonl", jsonl(12)), purpose="fine-tune")
    with pytest.raises(openai.InternalServerError) as completion:
        client.chat.completions.create(model=ABSENT, messages=[{"role": "user", "content": "hi"}])
    with pytest.raises(openai.InternalServerError) as created:
        client.fine_tuning.jobs.create(model=ABSENT, training_file=file.id)
    for refused in (completion.value, created.value):
        assert (refused.status_code, refused.code) == (503, "model_not_available")
        assert "its folder does not exist" in refused.message
        assert str(embedded.folder.parent) not in refused.message


def test_malformed_file_is_refused_by_line_and_rule(embedded: Tunery) -> None:
    client = embedded.client()
    content = jsonl(10) + b'{"messages": [{"role": "robot", "content": "x"}]}\n'
    file = client.files.create(file=("bad.jsonl", content), purpose="fine-tune")
    checked = client.files.wait_for_processing(file.id, poll_interval=0.1)
    assert checked.status == "error"
    assert "line 11" in (checked.status_details or "").lower()
    assert "robot" in (checked.status_details or "")


def test_second_up_on_the_same_folder_is_refused_with_a_clear_message(embedded: Tunery) -> None:
    second = subprocess.run(
        [TUNERY, "up", "--data", embedded.folder, "--port", str(free_ports(1)[0])],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert second.returncode == 1
    assert "in use by another `tunery up`" in second.stderr


def test_every_port_is_on_loopback_and_every_file_is_private(embedded: Tunery) -> None:
    listening = {
        (connection.laddr.ip, connection.laddr.port, " ".join(process.cmdline())[:120])
        for process in [psutil.Process(embedded.process.pid), *embedded.descendants()]
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert len(listening) > 5
    # gRPC's sockets are of both families: `::ffff:127.0.0.1` is loopback.
    exposed = {each for each in listening if not ip_address(each[0].removeprefix("::ffff:")).is_loopback}
    assert exposed == set()
    around = Path((embedded.folder / "ray.folder").read_text().strip())
    assert (embedded.folder / "logs" / "ray" / "now").resolve().is_relative_to(around)
    places = [embedded.folder, around, *embedded.folder.rglob("*")]
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in places if not path.is_symlink()}
    assert len(modes) > 20
    assert {path.name for path in modes} >= {"tunery.db", "logs", "api.log"}
    assert {path: oct(mode) for path, mode in modes.items() if mode & 0o077} == {}


def test_every_call_without_a_key_is_refused(embedded: Tunery) -> None:
    assert httpx2.get(f"{embedded.url}/v1/models", trust_env=False).status_code == 401
    assert httpx2.get(f"{embedded.url}/healthz", trust_env=False).status_code == 200
