"""`python -m service.api` as a process."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import httpx2
import pytest

from service.ports import free_ports

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Process:
    port: int
    internal_port: int
    popen: subprocess.Popen[str]
    log: list[str]
    """What it has logged since it was ready. Complete once it has ended."""
    reader: threading.Thread


@pytest.fixture
def process(sqlite_template: Path, tmp_path: Path) -> Iterator[Process]:
    port, internal_port = free_ports(2)
    environment = os.environ | {
        "TUNERY_DATABASE_URL": f"sqlite:///{shutil.copy(sqlite_template, tmp_path)}",
        "TUNERY_STORAGE_URL": f"file://{tmp_path}/objects",
    }
    popen = subprocess.Popen(
        [sys.executable, "-m", "service.api", "--port", str(port), "--internal-port", str(internal_port)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert popen.stderr is not None
        for line in popen.stderr:
            if "listening at" in line:
                break
        log: list[str] = []
        reader = threading.Thread(target=lambda: log.extend(popen.stderr or ()))
        reader.start()
        yield Process(port, internal_port, popen, log, reader)
    finally:
        popen.kill()
        popen.wait()
        reader.join(5)


def test_it_serves_until_sigterm_and_then_ends_by_itself(process: Process) -> None:
    with httpx2.Client(base_url=f"http://127.0.0.1:{process.port}", trust_env=False) as http:
        assert http.get("/healthz").status_code == 200
        assert http.get("/readyz").json()["parts"]["database"] == "ok"
        assert "server" not in http.get("/healthz").headers
        process.popen.send_signal(signal.SIGTERM)
        assert (
            process.popen.wait(60) == -signal.SIGTERM
        )  # uvicorn shuts down, and then ends itself with the signal that it got
    process.reader.join(5)
    assert "Application shutdown complete" in "".join(process.log)


def test_idle_connections_are_kept_longer_than_clients_keep_theirs(process: Process) -> None:
    connection = HTTPConnection("127.0.0.1", process.port, timeout=6)
    with closing(connection):
        for _ in range(2):
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            assert (answer.status, answer.read()[:1]) == (200, b"{")
        with pytest.raises(TimeoutError):
            connection.sock.recv(1)


def test_importing_the_application_opens_nothing() -> None:
    code = (
        "import sys, service.api.app as app; from service.settings import Settings\n"
        "app.create_app(Settings(database_url='sqlite:////nowhere/x.db', storage_url='file:///nowhere'))\n"
        "heavy = {'torch', 'ray', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_runners_have_a_port_of_their_own(process: Process) -> None:
    sync = "/internal/attempts/ftjob-1/1/sync"
    token = {"authorization": "Bearer a-token"}
    with httpx2.Client(trust_env=False, headers=token) as http:
        internal = http.post(f"http://127.0.0.1:{process.internal_port}{sync}", json={})
        public = http.post(f"http://127.0.0.1:{process.port}{sync}", json={})
        assert [answer.json()["error"]["code"] for answer in (internal, public)] == [
            "invalid_attempt_token",
            "invalid_api_key",
        ]
        assert http.get(f"http://127.0.0.1:{process.internal_port}/healthz").status_code == 404


def test_a_process_that_cannot_listen_says_so(process: Process) -> None:
    taken = str(process.internal_port)
    command = [sys.executable, "-m", "service.api", "--port", "0", "--internal-port", taken]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert "cannot listen" in done.stderr
