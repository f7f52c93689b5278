"""Runs with trackers, over real HTTP to the service, and with real processes of trackers."""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cluster.contracts.evaluation import Comparison, EvaluationReport
from cluster.contracts.integrations import MlflowOptions, MlflowTracker, TrackerReport, Tracking
from cluster.contracts.jobs import Failed, Finished, JobSpec, RunnerEvent, RunnerState, Running, Stopped
from cluster.runner.supervise import supervise
from cluster.runner.sync import FencedError, ServiceLink
from cluster.runner.tracked import Trackers
from cluster.tracking.process import COMMAND, TrackerProcess
from tests.cluster.runner.fake_service import FakeService, fake_service
from tests.cluster.tracking.fake_trackers import FakeMlflow, serving
from tests.cluster.tracking.steps import step

COMPARISON = Comparison(n_examples=4, base_loss=2.0, tuned_loss=1.0, base_accuracy=0.1, tuned_accuracy=0.9)
REPORT = EvaluationReport(held_out=COMPARISON, general=None, general_kl=None, regression=None)
FINISHED = Finished(trained_tokens=5, manifest_key="m", manifest_sha256="0" * 64, form="lora", report=REPORT)
HANGING = (sys.executable, "-c", "import time; time.sleep(600)")
CRASHING = (sys.executable, "-c", "import os; os.abort()")
DEAF = ("sleep", "600")


class SteppingRun:
    """Reports one step at each call, and ends after `n_steps`. Without a number each step takes a while, and
    the run goes on until it is told to stop."""

    def __init__(
        self,
        n_steps: int | None = None,
        end: RunnerState = FINISHED,
        before: Callable[[int], None] = lambda number: None,
    ) -> None:
        self.n_given, self._n_steps, self._end, self._before = 0, n_steps, end, before

    def take(self, wait_seconds: float) -> tuple[list[RunnerEvent], RunnerState]:
        self.n_given += 1
        self._before(self.n_given)
        if self._n_steps is None:
            threading.Event().wait(min(wait_seconds, 0.02))
            return [step(self.n_given)], Running()
        return [step(self.n_given)], self._end if self.n_given >= self._n_steps else Running()

    def pause(self) -> None:
        self._end, self._n_steps = Stopped(), self.n_given


@pytest.fixture
def service() -> Iterator[FakeService]:
    with fake_service() as service:
        yield service


@pytest.fixture
def mlflow() -> Iterator[FakeMlflow]:
    fake = FakeMlflow()
    with serving(fake):
        yield fake


@pytest.fixture
def run_attempt(
    make_spec: Callable[..., JobSpec], service: FakeService, mlflow: FakeMlflow, tmp_path: Path
) -> Callable[..., RunnerState]:
    def run_attempt(
        run: Any, *, command: Sequence[str] = COMMAND, patience: float = 30.0, **limits: Any
    ) -> RunnerState:
        tracker = MlflowTracker(url=mlflow.url, options=MlflowOptions(experiment="orders"))
        tracking = Tracking(trackers=[tracker], config={"training_file_name": "orders.jsonl"})
        spec = make_spec({"service_url": service.url, "tracking": tracking})
        trackers = Trackers(
            spec,
            tmp_path,
            {"PATH": "/bin:/usr/bin"},
            start=partial(TrackerProcess, command=command, **limits),
            closing_seconds=patience,
            cancelled_seconds=patience,
        )
        with httpx2.Client(timeout=5) as client, trackers:
            return supervise(ServiceLink(spec, client), lambda: trackers.follow(run), sleep=lambda _: None)

    return run_attempt


def reports(service: FakeService) -> list[TrackerReport]:
    return [event for event in service.events if isinstance(event, TrackerReport)]


def steps(service: FakeService) -> list[int]:
    return [event.step for event in service.events if event.type == "step"]


def test_tracker_and_service_get_the_same_steps_and_the_result(
    service: FakeService, mlflow: FakeMlflow, run_attempt: Callable[..., RunnerState]
) -> None:
    assert run_attempt(SteppingRun(20)) == FINISHED
    assert steps(service) == [number for number, _ in mlflow.history("train_loss")] == list(range(1, 21))
    assert service.state == FINISHED
    assert [report.url for report in reports(service)] == [f"{mlflow.url}/#/experiments/1/runs/run0"]
    assert mlflow.history("trained_tokens") == [(20, 5)]
    assert mlflow.history("evaluation/held_out/tuned_loss") == [(20, 1.0)]
    (run,) = mlflow.runs.values()
    params = {each["key"]: each["value"] for each in run["data"]["params"]}
    assert (params["training_file_name"], params["n_epochs"], params["base"]) == (
        "orders.jsonl",
        "2",
        "tiny",
    )
    assert run["info"]["status"] == "FINISHED"
    assert not {"attempt_token", "service_url"} & set(params)


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (Failed(code="non_finite_loss", message="m", is_user_fault=True), "FAILED"),
        (Failed(code="worker_lost", message="m", is_user_fault=False), "SCHEDULED"),
    ],
)
def test_the_tracker_learns_how_the_attempt_ended(
    mlflow: FakeMlflow, run_attempt: Callable[..., RunnerState], end: Failed, status: str
) -> None:
    assert run_attempt(SteppingRun(2, end)) == end
    assert mlflow.runs["run0"]["info"]["status"] == status


def test_a_paused_run_goes_on_later_and_a_cancelled_one_is_killed(
    service: FakeService, mlflow: FakeMlflow, run_attempt: Callable[..., RunnerState]
) -> None:
    def command(number: int, command: str) -> None:
        # Once the tracker has begun.
        if any(run["info"]["status"] == "RUNNING" for run in mlflow.runs.values()):
            service.command = command

    assert run_attempt(SteppingRun(before=partial(command, command="pause"))) == Stopped()
    assert mlflow.runs["run0"]["info"]["status"] == "SCHEDULED"
    service.command, service.events = "continue", []
    assert run_attempt(SteppingRun(before=partial(command, command="cancel"))) == Stopped()
    assert mlflow.runs["run0"]["info"]["status"] == "KILLED"
    assert len(mlflow.runs) == 1


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (HANGING, "It did not take the last metrics within 0.5 seconds."),
        (CRASHING, "Its process ended unexpectedly (code -6)."),
        (("/no/such/program",), "Its process cannot be started (No such file or directory)."),
    ],
)
def test_a_tracker_that_fails_is_one_warning_and_changes_nothing_else(
    service: FakeService, run_attempt: Callable[..., RunnerState], command: Sequence[str], problem: str
) -> None:
    assert run_attempt(SteppingRun(50), command=command, patience=0.5) == FINISHED
    assert [report.problem for report in reports(service)] == [problem]
    assert steps(service) == list(range(1, 51))


def test_a_tracker_that_takes_nothing_is_given_up_and_never_waited_for(
    service: FakeService, run_attempt: Callable[..., RunnerState]
) -> None:
    # More than a pipe holds, beside what may wait.
    assert run_attempt(SteppingRun(2000), command=DEAF, most_waiting=100) == FINISHED
    assert [report.problem for report in reports(service)] == ["It takes the metrics too slowly."]
    assert steps(service) == list(range(1, 2001))


def test_a_fenced_runner_leaves_the_run_to_the_next_attempt(
    service: FakeService, mlflow: FakeMlflow, run_attempt: Callable[..., RunnerState]
) -> None:
    def fence(number: int) -> None:
        if mlflow.runs:
            service.status = 409

    with pytest.raises(FencedError):
        run_attempt(SteppingRun(before=fence))
    assert mlflow.runs["run0"]["info"]["status"] == "RUNNING"
