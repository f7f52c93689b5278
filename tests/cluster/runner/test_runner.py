"""`python -m cluster.runner` as a process with a Ray of its own, against a service over HTTP."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.contracts.jobs import (
    CheckpointSaved,
    Finished,
    JobSpec,
    Running,
    StepMetrics,
)
from cluster.storage.keys import spec_key
from cluster.storage.local import LocalStore
from tests.cluster.runner.fake_service import FakeService, fake_service

pytestmark = [pytest.mark.ray, pytest.mark.xdist_group("ray")]

MakeSpec = Callable[..., JobSpec]
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def service() -> Iterator[FakeService]:
    with fake_service() as service:
        yield service


@pytest.fixture
def start(make_spec: MakeSpec, store: LocalStore, service: FakeService, tmp_path: Path) -> Iterator[Start]:
    """Starts the runner of a specification made with the keywords; what is left of it at the end is killed."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(spec: dict[str, Any] | None = None, **config: Any) -> subprocess.Popen[bytes]:
        job = make_spec({"service_url": service.url, **(spec or {})}, **config)
        store.put(spec_key(job.job_id, job.attempt), job.model_dump_json().encode())
        environment = {
            **os.environ,
            "TUNERY_JOB_SPEC": spec_key(job.job_id, job.attempt),
            "TUNERY_STORAGE_URL": f"file://{tmp_path}/store",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": "runner-test-token",
            "OMP_NUM_THREADS": "1",
        }
        environment.pop("RAY_ADDRESS", None)
        log = (tmp_path / "runner.log").open("ab")
        # A session of its own: Ray's processes, which this runner starts for itself, end with it below.
        process = subprocess.Popen(
            [sys.executable, "-m", "cluster.runner"],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


def wait_for(service: FakeService, condition: Callable[[], bool], seconds: float) -> float:
    """Waits until what the service has heard satisfies `condition`; returns the seconds it took."""
    began = time.monotonic()
    with service.changed:
        assert service.changed.wait_for(condition, timeout=seconds), service.state
    return time.monotonic() - began


def steps(service: FakeService) -> list[StepMetrics]:
    return [event for event in service.events if isinstance(event, StepMetrics)]


def test_a_job_is_trained_reported_and_finished(
    start: Start, service: FakeService, store: LocalStore
) -> None:
    process = start()
    wait_for(service, lambda: not isinstance(service.state, Running), 120)
    assert process.wait(20) == 0
    assert isinstance(service.state, Finished)
    assert [step.step for step in steps(service)] == list(range(1, 13))
    saved = [event for event in service.events if isinstance(event, CheckpointSaved)]
    assert [event.step for event in saved] == [6, 12]
    assert saved[-1].manifest_key == service.state.manifest_key
    assert store.stat(service.state.manifest_key).bytes > 0
    assert [event.seq for event in service.events] == list(range(len(service.events)))
