"""MLflow's REST API as we call it. The real server, 3.17, was seen to take the same calls."""

from collections.abc import Callable, Iterator

import pytest

from cluster.contracts.integrations import MlflowOptions, MlflowTracker
from cluster.tracking.messages import TrackedRun
from cluster.tracking.mlflow_run import MlflowRun
from cluster.tracking.run import TrackerError
from tests.cluster.tracking.fake_trackers import FakeMlflow, serving
from tests.cluster.tracking.steps import JOB, step

Open = Callable[..., MlflowRun]


@pytest.fixture
def mlflow() -> Iterator[FakeMlflow]:
    fake = FakeMlflow()
    with serving(fake):
        yield fake


@pytest.fixture
def open_run(mlflow: FakeMlflow) -> Open:
    def open_run(url: str | None = None, job: str = JOB, **options: str) -> MlflowRun:
        tracker = MlflowTracker(url=url or mlflow.url, options=MlflowOptions(experiment="e", **options))
        run = TrackedRun(tracker=tracker, id=job, base="tiny", config={f"p{n}": n for n in range(150)})
        return MlflowRun(run, tracker, sleep=lambda seconds: None)

    return open_run


def test_it_gets_numbers_that_json_lacks(mlflow: FakeMlflow, open_run: Open) -> None:
    run = open_run()
    run.log([step(1, train_loss=float("nan"), grad_norm=float("inf"))])
    run.end("failed")
    assert (mlflow.history("train_loss"), mlflow.history("grad_norm")) == ([(1, "NaN")], [(1, "Infinity")])
    assert mlflow.runs["run0"]["info"]["status"] == "FAILED"


def test_many_steps_and_parameters_are_sent_in_calls_that_the_server_takes(
    mlflow: FakeMlflow, open_run: Open
) -> None:
    run = open_run()
    run.log([step(number, valid_loss=1.0, full_valid_loss=2.0, mfu=0.5) for number in range(1, 501)])
    assert [number for number, _ in mlflow.history("train_loss")] == list(range(1, 501))
    assert len(mlflow.runs["run0"]["data"]["params"]) == 150
    assert mlflow.tags()["tunery.step"] == "500"


def test_jobs_share_an_experiment_and_no_run(mlflow: FakeMlflow, open_run: Open) -> None:
    open_run().log([step(1)])
    assert open_run(job="ftjob-other", name="mine").last_step == 0
    assert open_run().last_step == 1
    assert {run["info"]["run_name"] for run in mlflow.runs.values()} == {JOB, "mine"}
    assert len(mlflow.experiments) == 1


def test_the_operators_token_or_password_is_sent(
    mlflow: FakeMlflow, open_run: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "u")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "p")
    open_run()
    assert mlflow.authorizations == {"Basic dTpw"}
    mlflow.authorizations.clear()
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    open_run()
    assert mlflow.authorizations == {"Bearer t0ken"}


def test_faults_are_repeated(mlflow: FakeMlflow, open_run: Open) -> None:
    mlflow.faults = 3
    open_run()
    assert len(mlflow.runs) == 1
    mlflow.faults = 4
    with pytest.raises(TrackerError, match="It answered 503 to experiments/get-by-name"):
        open_run()


def test_problems_are_named(mlflow: FakeMlflow, open_run: Open) -> None:
    with pytest.raises(TrackerError, match=r"It does not answer \(ConnectError\)"):
        open_run("http://127.0.0.1:9")
    open_run()
    mlflow.experiments["e"]["lifecycle_stage"] = "deleted"
    with pytest.raises(TrackerError, match="The experiment 'e' has been deleted"):
        open_run()
    mlflow.status = 403
    with pytest.raises(TrackerError, match="It refuses the server's key"):
        open_run()
