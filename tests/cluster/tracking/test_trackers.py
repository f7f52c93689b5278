"""Every tracker in its own process, as the runner starts it: real packages, and fake servers."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.contracts.integrations import (
    MlflowOptions,
    MlflowTracker,
    TrackerReport,
    TrackioOptions,
    TrackioTracker,
    WandbOptions,
    WandbTracker,
)
from cluster.tracking.messages import End, Message, Outcome, Summary, TrackedRun
from cluster.tracking.process import TrackerProcess, tracker_environment
from tests.cluster.tracking.fake_trackers import FakeMlflow, FakeWandb, serving
from tests.cluster.tracking.steps import JOB, step

pytestmark = pytest.mark.slow

KEY = "k3y" * 13 + "k"
ENDS_SECONDS = 60
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "WANDB_API_KEY": KEY, "AWS_SECRET_ACCESS_KEY": "s3"}


@pytest.fixture
def mlflow() -> Iterator[FakeMlflow]:
    fake = FakeMlflow()
    with serving(fake):
        yield fake


@pytest.fixture
def wandb() -> Iterator[FakeWandb]:
    fake = FakeWandb()
    with serving(fake):
        yield fake


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Callable[..., list[TrackerReport]]]:
    """Feeds a tracker one attempt; returns what it reports."""
    processes = []

    def feed_attempt(
        tracker: Any,
        messages: list[Message],
        outcome: Outcome = "finished",
        environment: dict[str, str] = ENVIRONMENT,
    ) -> list[TrackerReport]:
        run = TrackedRun(tracker=tracker, id=JOB, base="tiny", config={"seed": 7, "r": 4})
        process = TrackerProcess(run, tmp_path, environment)
        processes.append(process)
        for message in [*messages, End(outcome=outcome)]:
            process.send(message)
        assert process.wait(ENDS_SECONDS)
        return process.reports()

    yield feed_attempt
    for process in processes:
        process.stop()


Feed = Callable[..., list[TrackerReport]]
FIRST: list[Message] = [step(1), step(2), step(3)]
"""What an attempt reports that is lost after step 3; its last checkpoint is of step 2."""
SECOND: list[Message] = [step(3), step(4), Summary(values={"trained_tokens": 99, "base_sha256": "ab"})]


def mlflow_tracker(mlflow: FakeMlflow, **options: str) -> MlflowTracker:
    return MlflowTracker(url=mlflow.url, options=MlflowOptions(**{"experiment": "orders"} | options))


def test_mlflow_has_one_run_for_all_attempts_and_no_step_twice(mlflow: FakeMlflow, feed: Feed) -> None:
    tracker = mlflow_tracker(mlflow)
    (report,) = feed(tracker, FIRST, "interrupted")
    assert report.url == f"{mlflow.url}/#/experiments/1/runs/run0"
    assert mlflow.runs["run0"]["info"]["status"] == "SCHEDULED"
    assert feed(tracker, SECOND) == [
        report.model_copy(update={"created_at": pytest.approx(report.created_at, abs=60)})
    ]
    (run,) = mlflow.runs.values()
    assert (run["info"]["status"], run["info"]["run_name"]) == ("FINISHED", JOB)
    assert mlflow.history("train_loss") == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3)), (4, 0.25)]
    assert mlflow.history("learning_rate")[0] == (1, 1e-3)
    assert mlflow.history("trained_tokens") == [(4, 99)]
    assert (mlflow.tags()["tunery.job_id"], mlflow.tags()["tunery.base_sha256"]) == (JOB, "ab")
    assert {each["key"]: each["value"] for each in run["data"]["params"]} == {"seed": "7", "r": "4"}


def wandb_tracker(wandb: FakeWandb, **options: Any) -> WandbTracker:
    return WandbTracker(url=wandb.url, options=WandbOptions(**{"project": "orders"} | options))


def test_wandb_has_one_run_for_all_attempts_and_no_step_twice(wandb: FakeWandb, feed: Feed) -> None:
    tracker = wandb_tracker(wandb, tags=["mine"], entity="team")
    (report,) = feed(tracker, FIRST, "interrupted")
    assert report.url == f"{wandb.url}/team/orders/runs/{JOB}"
    assert (wandb.exit_code, wandb.was_preempting) == (1, True)
    (again,) = feed(tracker, SECOND)
    assert again.url == report.url
    assert (wandb.run["name"], wandb.run["project"], wandb.run["entity"]) == (JOB, "orders", "team")
    assert set(wandb.run["tags"]) == {"tunery/finetune", "tunery/tiny", f"tunery/{JOB}", "mine"}
    assert [(each["_step"], each["train_loss"]) for each in wandb.history] == [
        (1, 1.0),
        (2, 0.5),
        (3, pytest.approx(1 / 3)),
        (4, 0.25),
    ]
    assert (wandb.summary["trained_tokens"], wandb.summary["base_sha256"]) == (99, "ab")
    assert (wandb.config["seed"], wandb.config["r"]) == (7, 4)
    assert wandb.exit_code == 0
    assert len(wandb.authorizations) == 1


def test_wandb_learns_nothing_of_the_host(wandb: FakeWandb, feed: Feed) -> None:
    feed(wandb_tracker(wandb), [step(1)])
    assert wandb.run["program"] == "tunery"
    assert not any(wandb.run.get(name) for name in ("host", "repo", "commit", "debug"))


def test_wandb_without_a_key_is_a_problem(wandb: FakeWandb, feed: Feed) -> None:
    (report,) = feed(wandb_tracker(wandb), [step(1)], environment={"PATH": "/usr/bin:/bin"})
    assert report.problem == "The server has no key for it: its operator must set WANDB_API_KEY."


def test_wandb_works_offline(feed: Feed, tmp_path: Path) -> None:
    tracker = WandbTracker(url="https://api.wandb.ai", options=WandbOptions(project="orders"))
    (report,) = feed(tracker, FIRST, environment={"PATH": "/usr/bin:/bin", "WANDB_MODE": "offline"})
    assert (report.url, report.problem) == (None, None)
    (written,) = tmp_path.glob(f"wandb/offline-run-*/run-{JOB}.wandb")
    assert b"train_loss" in written.read_bytes()


def test_trackio_has_one_run_for_all_attempts_and_no_step_twice(feed: Feed, tmp_path: Path) -> None:
    folder = tmp_path / "runs of trackio"
    tracker = TrackioTracker(url=folder.as_uri(), options=TrackioOptions(project="orders", name="first"))
    for messages in (FIRST, SECOND):
        (report,) = feed(tracker, messages)
        assert (report.url, report.problem) == (None, None)
    with sqlite3.connect(folder / "orders.db") as database:
        rows = database.execute("SELECT run_name, step, json_extract(metrics, '$.train_loss') FROM metrics")
        logged = [row for row in rows if row[2] is not None]
        tokens = database.execute(
            "SELECT step FROM metrics WHERE json_extract(metrics, '$.trained_tokens') = 99"
        )
        assert list(tokens) == [(4,)]
    name = f"first {JOB}"
    assert logged == [(name, 1, 1.0), (name, 2, 0.5), (name, 3, pytest.approx(1 / 3)), (name, 4, 0.25)]


def test_a_trackio_server_that_does_not_answer_is_a_problem(feed: Feed) -> None:
    tracker = TrackioTracker(url="http://127.0.0.1:9", options=TrackioOptions(project="orders"))
    (report,) = feed(tracker, [step(1)], environment={"TRACKIO_WRITE_TOKEN": "wr1te-token"})
    assert report.problem is not None
    assert "wr1te-token" not in report.problem


def test_a_process_knows_its_own_keys_only() -> None:
    environment = {
        **{"PATH": "/bin", "WANDB_API_KEY": "w", "MLFLOW_TRACKING_TOKEN": "m", "HF_TOKEN": "h"},
        **{"AWS_SECRET_ACCESS_KEY": "a", "RAY_AUTH_TOKEN": "r", "TUNERY_CLUSTER_TOKEN": "t"},
    }
    assert tracker_environment("wandb", environment) == {"PATH": "/bin", "WANDB_API_KEY": "w"}
    assert tracker_environment("mlflow", environment) == {"PATH": "/bin", "MLFLOW_TRACKING_TOKEN": "m"}
    assert tracker_environment("trackio", environment) == {"PATH": "/bin", "HF_TOKEN": "h"}
