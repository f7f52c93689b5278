"""`python -m cluster.runner` as a process on a Ray head, against a service over HTTP."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster.contracts.integrations import MlflowOptions, MlflowTracker, TrackerReport, Tracking
from cluster.contracts.jobs import (
    CheckpointSaved,
    Failed,
    Finished,
    JobSpec,
    Placement,
    ResumeStateSaved,
    RunnerMessage,
    Running,
    StepMetrics,
    Stopped,
    WorkersStarted,
)
from cluster.niceness import COMPUTE_NICENESS
from cluster.runner.control import PLACING_SECONDS
from cluster.storage.keys import spec_key
from cluster.storage.local import LocalStore
from tests.cluster.runner.fake_service import FakeService, fake_service
from tests.cluster.tracking.fake_trackers import FakeMlflow, serving
from tests.cluster.training.little_memory import FITTING
from tests.cluster.training.recording import record
from tests.ray_head import RayHead, ray_head, ray_node

pytestmark = pytest.mark.ray

_ROOT = Path(__file__).parents[3]
ENDLESS = {"n_epochs": 100_000, "batch_size": 1}
"""Two million steps take hours, so such a job is always still running when a test ends it."""

MakeSpec = Callable[..., JobSpec]
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayHead]:
    with ray_head(tmp_path_factory.mktemp("ray"), {}, num_cpus=2) as head:
        yield head


@pytest.fixture
def service() -> Iterator[FakeService]:
    with fake_service() as service:
        yield service


@pytest.fixture
def start(
    head: RayHead, make_spec: MakeSpec, store: LocalStore, service: FakeService, tmp_path: Path
) -> Iterator[Start]:
    """Starts a runner with a specification made from the keywords. With `fitting_tokens`, larger passes run
    out of memory. Kills the runner at the end if it is still running."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(
        spec: dict[str, Any] | None = None, *, fitting_tokens: int | None = None, **config: Any
    ) -> subprocess.Popen[bytes]:
        job = make_spec({"service_url": service.url, **(spec or {})}, **config)
        store.put(spec_key(job.job_id, job.attempt), job.model_dump_json().encode())
        environment = {
            **os.environ,
            "RAY_ADDRESS": head.address,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": head.token,
            "TUNERY_JOB_SPEC": spec_key(job.job_id, job.attempt),
            "TUNERY_STORAGE_URL": f"file://{tmp_path}/store",
        }
        if fitting_tokens is not None:
            # As `ray job submit` hands a runtime environment to a driver.
            runtime = {
                "worker_process_setup_hook": "tests.cluster.training.little_memory.begin",
                # The hook runs before Ray gives a worker its driver's path.
                "env_vars": {FITTING: str(fitting_tokens), "PYTHONPATH": str(_ROOT)},
            }
            environment["RAY_JOB_CONFIG_JSON_ENV_VAR"] = json.dumps({"runtime_env": runtime})
        with (tmp_path / "runner.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "cluster.runner"], env=environment, stdout=log, stderr=log
            )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def wait_for(service: FakeService, condition: Callable[[], bool], seconds: float) -> float:
    """Waits until what the service received satisfies `condition`. Returns the seconds that it took."""
    began = time.monotonic()
    with service.changed:
        assert service.changed.wait_for(condition, timeout=seconds), service.state
    return time.monotonic() - began


def steps(service: FakeService) -> list[StepMetrics]:
    return [event for event in service.events if isinstance(event, StepMetrics)]


def messages(service: FakeService) -> list[str]:
    return [event.message for event in service.events if isinstance(event, RunnerMessage)]


def running(head: RayHead, name: str) -> list[psutil.Process]:
    """Ray's processes that have `name` in their command line."""
    family = psutil.Process(head.pid).children(recursive=True)
    return [one for one in family if name in " ".join(one.cmdline())]


def worker(head: RayHead, name: str) -> psutil.Process:
    """The only process with this name among Ray's."""
    (found,) = running(head, name)
    return found


@pytest.mark.thorough
def test_two_workers_train_in_passes_that_fit_into_memory_and_their_tracker_hears_of_every_step(
    start: Start, service: FakeService, head: RayHead, make_spec: MakeSpec, store: LocalStore
) -> None:
    """The losses are those of one worker with enough memory."""
    alone = record(make_spec({"job_id": "ftjob-alone"}), store)
    mlflow = FakeMlflow()
    with serving(mlflow):
        tracker = MlflowTracker(url=mlflow.url, options=MlflowOptions(experiment="orders"))
        tracked = {"tracking": Tracking(trackers=[tracker], config={})}
        process = start(tracked, num_workers=2, microbatch_tokens=96, fitting_tokens=48)
        wait_for(service, lambda: len(service.requests) > 0, 240)
        wait_for(service, lambda: not isinstance(service.state, Running), 240)
        assert process.wait(300) == 0
    assert isinstance(service.state, Finished)
    (started,) = [event for event in service.events if isinstance(event, WorkersStarted)]
    assert started.nodes == {head.node_id: 2}
    halved = [message for message in messages(service) if "fit" in message]
    assert [message.partition(":")[0] for message in halved] == ["Step 1 did not fit into memory"]
    assert [step.step for step in steps(service)] == list(range(1, 13))
    assert [step.train_loss for step in steps(service)] == pytest.approx(alone.losses, abs=1e-5)
    saved = [event for event in service.events if isinstance(event, CheckpointSaved)]
    assert [event.step for event in saved] == [6, 12]
    assert saved[-1].manifest_key == service.state.manifest_key
    assert store.stat(service.state.manifest_key).bytes > 0
    assert [event.seq for event in service.events] == list(range(len(service.events)))
    losses = [(step.step, pytest.approx(step.train_loss)) for step in steps(service)]
    assert mlflow.history("train_loss") == losses
    (report,) = [event for event in service.events if isinstance(event, TrackerReport)]
    assert report.url == f"{mlflow.url}/#/experiments/1/runs/run0"
    assert mlflow.runs["run0"]["info"]["status"] == "FINISHED"


@pytest.mark.thorough
def test_a_full_fine_tune_waits_for_a_node_and_then_runs_on_both(
    start: Start, service: FakeService, head: RayHead, make_spec: MakeSpec, store: LocalStore
) -> None:
    """No node has all three CPUs. The losses are those of one worker."""
    alone = record(make_spec({"job_id": "ftjob-alone"}, type="full"), store)
    process = start(num_workers=3, type="full", parallelism="fsdp")
    wait_for(service, lambda: len(messages(service)) > 0, 120)
    needed, free = messages(service)[0].split(", and ")
    assert needed == "The job waits for the cluster: it needs 3 CPU(s) for 3 worker(s)"
    assert free.endswith(" of 2 CPU(s) are free.")
    with ray_node(head, num_cpus=1):
        wait_for(service, lambda: not isinstance(service.state, Running), 240)
        assert process.wait(300) == 0
    assert isinstance(service.state, Finished)
    assert service.state.form == "full"
    assert [step.train_loss for step in steps(service)] == pytest.approx(alone.losses, abs=1e-5)
    assert service.state.report is not None


@pytest.mark.thorough
def test_a_job_grows_onto_a_node_and_shrinks_when_nodes_are_lost_or_taken_away_with_the_same_losses(
    start: Start, service: FakeService, head: RayHead, make_spec: MakeSpec, store: LocalStore
) -> None:
    long = {"n_epochs": 40, "batch_size": 1}
    alone = record(make_spec({"job_id": "ftjob-alone"}, **long), store)
    here, losses = head.node_id, dict[int, float]()

    def attempt(number: int, nodes: dict[str, int]) -> subprocess.Popen[bytes]:
        """Continues from the last state of the attempt before."""
        resume = resume_states()[-1].manifest_key if number > 1 else None
        losses.update((step.step, step.train_loss) for step in steps(service))
        service.events, service.state = [], Running()
        spec = {"attempt": number, "placement": Placement(pool="any", nodes=nodes), "resume_from": resume}
        return start(spec, num_workers=sum(nodes.values()), **long)

    def resume_states() -> list[ResumeStateSaved]:
        return [event for event in service.events if isinstance(event, ResumeStateSaved)]

    with ray_node(head, num_cpus=1) as spot, head.draining() as drain:
        first = attempt(1, {spot.node_id: 1})
        wait_for(service, lambda: len(steps(service)) > 0, 240)
        service.command = "pause"
        wait_for(service, lambda: isinstance(service.state, Stopped), 60)
        assert first.wait(300) == 0

        service.command = "continue"
        with ray_node(head, num_cpus=1) as joined:
            second = attempt(2, {spot.node_id: 1, joined.node_id: 1})
            wait_for(service, lambda: len(resume_states()) > 0, 240)
            (started,) = [event for event in service.events if isinstance(event, WorkersStarted)]
            assert started.nodes == {spot.node_id: 1, joined.node_id: 1}
            joined.lose()
            wait_for(service, lambda: isinstance(service.state, Failed), 60)
            assert isinstance(service.state, Failed)
            assert not service.state.is_user_fault
            second.wait(300)
            head.wait_for_loss(joined.node_id)

        third = attempt(3, {here: 1, spot.node_id: 1})
        wait_for(service, lambda: len(resume_states()) > 0, 240)
        drain(spot.node_id)
        wait_for(service, lambda: isinstance(service.state, Stopped), 60)
        assert service.state == Stopped(reason="a node that it runs on is about to be taken away.")
        assert third.wait(300) == 0
        assert resume_states()[-1].step == steps(service)[-1].step

        fourth = attempt(4, {here: 1})
        wait_for(service, lambda: isinstance(service.state, Finished), 240)
        assert fourth.wait(300) == 0
    losses.update((step.step, step.train_loss) for step in steps(service))
    assert [losses[step] for step in sorted(losses)] == pytest.approx(alone.losses, abs=1e-4)


def test_a_job_whose_node_is_gone_before_it_starts_goes_back_at_once(
    start: Start, service: FakeService
) -> None:
    process = start({"placement": Placement(pool="any", nodes={"f" * 56: 1})})
    wait_for(service, lambda: isinstance(service.state, Stopped), PLACING_SECONDS)
    assert service.state == Stopped(reason="a node that it was to run on is gone.")
    assert process.wait(20) == 0
    assert steps(service) == []


@pytest.mark.thorough
def test_a_job_for_gpus_waits_for_them_and_never_trains_without(
    start: Start, service: FakeService, head: RayHead
) -> None:
    waiting = start({"device": "cuda"})
    wait_for(service, lambda: len(messages(service)) > 0, 120)
    assert "needs 1 CPU(s) and 1 GPU(s)" in messages(service)[0]
    service.command = "pause"
    wait_for(service, lambda: isinstance(service.state, Stopped), 20)
    assert waiting.wait(300) == 0

    service.command, service.state, service.events = "continue", Running(), []
    with ray_node(head, num_cpus=1, num_gpus=1):
        process = start({"device": "cuda", "attempt": 2})
        wait_for(service, lambda: isinstance(service.state, Failed), 240)
        assert process.wait(300) == 1
    assert isinstance(service.state, Failed)
    assert (service.state.code, service.state.is_user_fault) == ("no_gpu", False)
    assert steps(service) == []


def test_training_yields_the_cpu_to_heartbeats_goes_on_after_a_pause_and_blames_no_job_for_a_killed_worker(
    start: Start, service: FakeService, head: RayHead
) -> None:
    process = start(**ENDLESS)
    wait_for(service, lambda: len(steps(service)) >= 1, 240)
    trainer = worker(head, "TrainingWorker")
    assert psutil.Process(process.pid).nice() <= 0
    assert trainer.nice() == COMPUTE_NICENESS

    # As beside a load that leaves no CPU to Ray's workers, including the one between training and runner.
    held = [worker(head, "ControlActor"), trainer]
    for one in held:
        one.suspend()
    try:
        heard = len(service.requests) + 5  # The first of them may have been on their way.
        wait_for(service, lambda: len(service.requests) >= heard, 30)
    finally:
        for one in held:
            one.resume()
    known = len(steps(service))
    wait_for(service, lambda: len(steps(service)) > known, 240)
    assert isinstance(service.state, Running)

    service.command = "pause"
    wait_for(service, lambda: isinstance(service.state, Stopped), 20)
    assert process.wait(300) == 0
    assert [event.seq for event in service.events] == list(range(len(service.events)))
    last = service.events[-1]
    assert isinstance(last, ResumeStateSaved)
    assert last.step == steps(service)[-1].step

    service.command, service.state, service.events = "continue", Running(), []
    process = start({"attempt": 2, "resume_from": last.manifest_key}, **ENDLESS)
    wait_for(service, lambda: len(steps(service)) >= 1, 240)
    assert steps(service)[0].step == last.step + 1
    worker(head, "TrainingWorker").kill()
    wait_for(service, lambda: isinstance(service.state, Failed), 30)
    assert process.wait(300) == 1
    assert isinstance(service.state, Failed)
    assert (service.state.code, service.state.is_user_fault) == ("worker_lost", False)


def test_a_fault_of_the_job_is_reported_as_one(start: Start, service: FakeService) -> None:
    process = start(learning_rate=1e20, warmup_ratio=0.0, max_grad_norm=1e30, n_epochs=8)
    wait_for(service, lambda: isinstance(service.state, Failed), 240)
    assert process.wait(300) == 1
    assert isinstance(service.state, Failed)
    assert (service.state.code, service.state.is_user_fault) == ("non_finite_loss", True)


def test_a_fenced_or_stopped_runner_exits_at_once(start: Start, service: FakeService) -> None:
    service.status = 503
    fenced, stopped = start({"attempt": 1}), start({"attempt": 2})
    wait_for(service, lambda: len(service.paths) == 2, 60)
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait(300) in (143, -signal.SIGTERM)
    service.status = 409
    assert fenced.wait(300) == 3
    assert not service.events
