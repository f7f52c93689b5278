"""The client of Ray's jobs API, against a double for each response and against a real Ray."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import closing

import psutil
import pytest

from cluster.contracts.errors import Unavailable
from service.scheduling.cluster.ray_jobs import HttpRayJobs
from service.scheduling.interfaces import GONE
from tests.ray_head import RayHead, ray_head
from tests.service.scheduling.http_double import HttpDouble, ReceivedRequest, http_double


@pytest.fixture
def ray() -> Iterator[HttpDouble]:
    with http_double() as double:
        yield double


@pytest.fixture
def jobs(ray: HttpDouble) -> Iterator[HttpRayJobs]:
    with closing(HttpRayJobs(ray.url, "secret", timeout_seconds=5)) as jobs:
        yield jobs


def test_a_submission_holds_the_specifications_key_and_no_secret(ray: HttpDouble, jobs: HttpRayJobs) -> None:
    jobs.submit("ftjob-x-a1", "jobs/ftjob-x/attempts/1/spec.json")
    assert ray.requests == [
        ReceivedRequest(
            "POST",
            "/api/jobs/",
            "Bearer secret",
            {
                "entrypoint": "python -m cluster.runner",
                "submission_id": "ftjob-x-a1",
                "runtime_env": {"env_vars": {"TUNERY_JOB_SPEC": "jobs/ftjob-x/attempts/1/spec.json"}},
            },
        )
    ]


@pytest.mark.parametrize("first", [(500, b"Job with submission_id x already exists"), (0, b"")])
def test_a_submission_that_ray_has_succeeds_whatever_the_response(
    ray: HttpDouble, jobs: HttpRayJobs, first: tuple[int, bytes]
) -> None:
    ray.answer = lambda received: first if received.method == "POST" else (200, b'{"status": "RUNNING"}')
    jobs.submit("x-a1", "spec")
    assert [received.method for received in ray.requests] == ["POST", "GET"]


@pytest.mark.parametrize("first", [(500, b"Traceback"), (400, b"bad"), (403, b"no"), (0, b"")])
def test_a_submission_that_ray_does_not_have_is_unavailable(
    ray: HttpDouble, jobs: HttpRayJobs, first: tuple[int, bytes]
) -> None:
    ray.answer = lambda received: first if received.method == "POST" else (404, b"Job x does not exist")
    with pytest.raises(Unavailable) as raised:
        jobs.submit("x-a1", "spec")
    assert raised.value.code == "ray_unavailable"


@pytest.mark.parametrize("status", ["pending", "running", "succeeded", "failed", "stopped"])
def test_a_status_is_rays_own(ray: HttpDouble, jobs: HttpRayJobs, status: str) -> None:
    ray.answer = lambda received: (200, json.dumps({"status": status.upper()}).encode())
    assert jobs.status("x-a1") == status


def test_a_job_that_ray_does_not_know_is_absent(ray: HttpDouble, jobs: HttpRayJobs) -> None:
    ray.answer = lambda received: (404, b"Job x does not exist")
    assert jobs.status("x-a1") == "absent"
    jobs.stop("x-a1")


@pytest.mark.parametrize(
    "answer",
    [(0, b""), (500, b"oops"), (401, b"no"), (200, b"not json"), (200, b"[]"), (200, b'{"status": "ODD"}')],
)
def test_any_other_response_is_unavailable(
    ray: HttpDouble, jobs: HttpRayJobs, answer: tuple[int, bytes]
) -> None:
    ray.answer = lambda received: answer
    with pytest.raises(Unavailable):
        jobs.status("x-a1")


def test_a_ray_that_does_not_answer_is_unavailable() -> None:
    with closing(HttpRayJobs("http://127.0.0.1:1", None)) as jobs:
        for call in (lambda: jobs.status("x"), lambda: jobs.stop("x"), lambda: jobs.submit("x", "spec")):
            with pytest.raises(Unavailable):
                call()


@pytest.mark.parametrize("wild", ["x; rm -rf /", "../x", "x/y", "", "x" * 129])
def test_only_ids_of_plain_characters_are_sent(jobs: HttpRayJobs, wild: str) -> None:
    with pytest.raises(AssertionError):
        jobs.status(wild)


@pytest.fixture(scope="module")
def real_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayHead]:
    """A Ray whose `python` records its arguments, and then waits unless its specification is `short…`."""
    folder = tmp_path_factory.mktemp("ray")
    python = folder / "bin" / "python"
    python.parent.mkdir()
    python.write_text(
        "#!/bin/sh\n"
        f'echo "$TUNERY_JOB_SPEC $*" > {folder}/started.new && mv {folder}/started.new {folder}/started\n'
        'case "$TUNERY_JOB_SPEC" in short*) exit 0;; esac\n'
        "exec sleep 600\n"
    )
    python.chmod(0o755)
    with ray_head(folder, {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}) as head:
        yield head


@pytest.mark.ray
def test_a_real_ray_runs_stops_and_remembers_jobs(real_ray: RayHead) -> None:
    started = real_ray.log.with_name("started")
    with closing(HttpRayJobs(real_ray.dashboard_url, real_ray.token, timeout_seconds=60)) as jobs:
        assert jobs.status("job-a1") == "absent"
        jobs.submit("job-a1", "long/spec.json")
        jobs.submit("job-a1", "long/spec.json")
        _wait(started.exists)
        assert started.read_text() == "long/spec.json -m cluster.runner\n"
        assert jobs.status("job-a1") == "running"
        jobs.stop("job-a1")
        _wait(lambda: jobs.status("job-a1") in GONE)
        assert jobs.status("job-a1") == "stopped"
        jobs.stop("job-a1")
        jobs.submit("job-a1", "long/spec.json")
        assert jobs.status("job-a1") == "stopped", "an id names one job for ever"
        jobs.submit("job-a2", "short/spec.json")
        _wait(lambda: jobs.status("job-a2") in GONE)
        assert jobs.status("job-a2") == "succeeded"
        assert jobs.list_jobs() == {"job-a1": "stopped", "job-a2": "succeeded"}


@pytest.mark.ray
def test_a_real_ray_refuses_calls_without_a_token(real_ray: RayHead) -> None:
    for token in (None, "0" * 64):
        with closing(HttpRayJobs(real_ray.dashboard_url, token)) as jobs, pytest.raises(Unavailable):
            jobs.status("job-a1")


_KILLED = """
import os, subprocess, sys
import ray

@ray.remote(num_cpus=0)
class Parent:
    def start(self):
        return os.getpid(), subprocess.Popen(["sleep", "600"]).pid

ray.init(sys.argv[1], log_to_driver=False)
parent = Parent.remote()
pid, child = ray.get(parent.start.remote())
os.kill(pid, 9)
print("child", child)
"""


@pytest.mark.ray
def test_what_a_worker_has_started_ends_with_it_even_if_it_is_killed(real_ray: RayHead) -> None:
    """vLLM's engine runs in such a process, and would keep the GPUs."""
    (child,) = [
        int(line.split()[1]) for line in real_ray.run(_KILLED).splitlines() if line.startswith("child ")
    ]
    _wait(lambda: not psutil.pid_exists(child))


def _wait(is_so) -> None:
    deadline = time.monotonic() + 300
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)  # Ray sends no notifications, so this has to poll.
