"""Runs the API as a process with a database of its own and without a cluster, to measure its HTTP layer."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import psutil

from service.db.database import Database
from service.db.jobs.jobs import Jobs, NewJob
from service.ports import free_ports
from tests.api import Project, add_project
from tests.service.db.rows import add_file

_START_SECONDS = 60.0
_HOST = "127.0.0.1"


@dataclass(frozen=True)
class Api:
    port: int
    internal_port: int
    process: psutil.Process
    database: Database
    project: Project
    jobs: list[str]

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.project.key}"}


@contextmanager
def running_api(folder: Path, *, num_jobs: int = 0) -> Iterator[Api]:
    """Starts the API with one project that has `num_jobs` queued jobs. No scheduler runs them."""
    folder.mkdir(parents=True)
    url = f"sqlite:///{folder / 'tunery.db'}"
    database = Database(url)
    database.migrate()
    project = add_project(database)
    file = add_file(database, project.tenant)
    with database.write() as session:
        jobs = Jobs(session, project.tenant)
        new = NewJob(model="tunery-tiny-1", training_file=file.id)
        job_ids = [jobs.create(new).id for _ in range(num_jobs)]
    port, internal_port = free_ports(2)
    command = ["-m", "service.api", "--port", str(port), "--internal-port", str(internal_port)]
    environment = {"TUNERY_DATABASE_URL": url, "TUNERY_STORAGE_URL": f"file://{folder}/objects"}
    with (folder / "api.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command], env={**os.environ, **environment}, stdout=log, stderr=log
        )
    try:
        _wait(port, process)
        yield Api(port, internal_port, psutil.Process(process.pid), database, project, job_ids)
    finally:
        process.kill()
        process.wait()
        database.close()


def get(port: int, path: str, headers: dict[str, str] | None = None, *, seconds: float = 60.0) -> int:
    """Returns the status of the response. Raises OSError if there is none."""
    connection = HTTPConnection(_HOST, port, timeout=seconds)
    try:
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            assert get(port, "/healthz") == 200
            return
        except OSError:
            assert process.poll() is None, "the API exited"
            assert time.monotonic() < deadline, "the API did not start in time"
            time.sleep(0.1)
