"""`python -m service.api` as a process."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import select

from cluster.contracts.errors import InvalidConfiguration
from service.db import tables
from service.db.database import Database
from service.ports import free_ports
from service.settings import checked_settings
from tests.api import add_project

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Process:
    database_url: str
    port: int
    internal_port: int
    metrics_port: int
    popen: subprocess.Popen[str]
    log: list[str]
    """What it has logged since it was ready. Complete once it has ended."""
    reader: threading.Thread


@pytest.fixture(scope="module")
def process(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """For all tests that leave it running."""
    with started(sqlite_template, tmp_path_factory.mktemp("process")) as process:
        yield process


@contextmanager
def started(sqlite_template: Path, folder: Path, **environ: str) -> Iterator[Process]:
    port, internal_port, metrics_port = free_ports(3)
    database_url = f"sqlite:///{shutil.copy(sqlite_template, folder)}"
    environment = os.environ | {
        "TUNERY_DATABASE_URL": database_url,
        "TUNERY_STORAGE_URL": f"file://{folder}/objects",
        "TUNERY_METRICS_PORT": str(metrics_port),
        **environ,
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
        yield Process(database_url, port, internal_port, metrics_port, popen, log, reader)
    finally:
        popen.kill()
        popen.wait()
        reader.join(300)


def test_it_serves_until_sigterm_and_then_ends_by_itself(sqlite_template: Path, tmp_path: Path) -> None:
    with (
        started(sqlite_template, tmp_path) as process,
        httpx2.Client(base_url=f"http://127.0.0.1:{process.port}", trust_env=False) as http,
    ):
        assert http.get("/healthz").status_code == 200
        assert http.get("/readyz").json()["parts"]["database"] == "ok"
        assert "server" not in http.get("/healthz").headers
        secrets = {"authorization": "Bearer whisper", "cookie": "whisper", "x-api-key": "whisper"}
        answer = http.post("/v1/canary?api_key=whisper", headers=secrets, json={"key": "whisper"})
        process.popen.send_signal(signal.SIGTERM)
        assert (
            process.popen.wait(300) == -signal.SIGTERM
        )  # uvicorn shuts down, and then ends itself with the signal that it got
    process.reader.join(300)
    lines = [json.loads(line) for line in process.log]
    assert "Application shutdown complete." in [line["event"] for line in lines]
    (asked,) = (line for line in lines if "/v1/canary" in line["event"])
    assert (
        asked.items() >= {"request": answer.headers["x-request-id"], "status": 401, "level": "info"}.items()
    )
    assert "whisper" not in "".join(process.log)


def recorded_address(process: Process, forwarded_for: str) -> str:
    """What the audit log says of a request with this X-Forwarded-For, which comes from 127.0.0.1."""
    with closing(Database(process.database_url)) as database:
        project = add_project(database)
        headers = {"authorization": f"Bearer {project.key}", "x-forwarded-for": forwarded_for}
        upload = {"files": {"file": ("a", b"x")}, "data": {"purpose": "user_data"}}
        url = f"http://127.0.0.1:{process.port}/v1/files"
        with httpx2.Client(trust_env=False, headers=headers) as http:
            assert http.post(url, **upload).status_code == 200
        with database.read() as session:
            of_project = tables.AuditEntry.project_id == project.tenant.project_id
            bodies = session.scalars(select(tables.AuditEntry.body).where(of_project))
            (created,) = (one for one in map(json.loads, bodies) if one["type"] == "file.created")
    address: str = created["ip_address"]
    return address


def test_a_caller_cannot_say_where_it_calls_from(process: Process) -> None:
    assert recorded_address(process, "1.2.3.4 forged") == "127.0.0.1"


def test_only_a_trusted_proxy_says_where_its_client_calls_from(sqlite_template: Path, tmp_path: Path) -> None:
    """The client can only write in front of what the proxies append."""
    trusted = {"127.0.0.1, 10.42.0.0/16": "203.0.113.7", "10.42.0.0/16": "127.0.0.1"}
    for number, (proxies, expected) in enumerate(trusted.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        with started(sqlite_template, folder, TUNERY_TRUSTED_PROXIES=proxies) as process:
            assert recorded_address(process, "6.6.6.6, 203.0.113.7, 10.42.1.1") == expected


@pytest.mark.parametrize("proxies", ["*", "my-proxy", "10.0.0.0/33", "10.0.0.1/8"])
def test_what_names_no_addresses_is_not_trusted(monkeypatch: pytest.MonkeyPatch, proxies: str) -> None:
    monkeypatch.setenv("TUNERY_TRUSTED_PROXIES", proxies)
    with pytest.raises(InvalidConfiguration, match="TUNERY_TRUSTED_PROXIES"):
        checked_settings()


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


def test_metrics_have_a_port_of_their_own_too(process: Process) -> None:
    with httpx2.Client(trust_env=False) as http:
        http.get(f"http://127.0.0.1:{process.port}/v1/models")
        scraped = http.get(f"http://127.0.0.1:{process.metrics_port}/metrics")
        public = http.get(f"http://127.0.0.1:{process.port}/metrics")
    assert (scraped.status_code, public.status_code) == (200, 401)
    for sample in (
        'tunery_http_requests_total{method="GET",route="none",status="401"} 1.0',
        "tunery_database_up 1.0",
        "process_resident_memory_bytes",
    ):
        assert sample in scraped.text
    assert "_created" not in scraped.text


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
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 3
    assert "cannot listen" in done.stderr
