"""Uploads are streamed: memory does not grow with the file, and an interrupted upload leaves nothing
behind."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import openai
import pytest
from fastapi import FastAPI
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from cluster.contracts.errors import Unavailable
from cluster.storage.local import LocalStore
from cluster.storage.store import ObjectInfo
from service.api.app import create_app
from service.api.state import AppState
from service.api.uploads.pace import Pace
from service.api.uploads.turns import Turns
from service.db.database import Database
from service.db.files.files import Files
from tests.api import LiveApi, Project, jsonl, listening, with_settings

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

UPLOAD = """
import resource, sys
from pathlib import Path
from tests.api import add_project, listening, BASE
from tests.databases import migrate
from tests.fakes import FakeEngine
from cluster.storage.local import LocalStore
from service.api.app import create_app
from service.api.state import AppState
from service.api.uploads.pace import Pace
from service.db.database import Database
from service.db.files.files import Files
from service.settings import Settings
from openai import OpenAI

folder, size = Path(sys.argv[1]), int(sys.argv[2])
url = f"sqlite:///{folder}/t.db"
migrate(url)
database = Database(url)
project = add_project(database)
state = AppState(Settings(), database, LocalStore(folder / "objects"), FakeEngine(), {BASE.alias: BASE})
line = b'{"prompt": "' + b"x" * 100_000 + b'", "completion": "y"}\\n'
big = folder / "big.jsonl"
with big.open("wb") as file:
    for _ in range(size // len(line)):
        file.write(line)

def sent(path):
    # In pieces, so that what grows is the server's memory and not this client's.
    import httpx2
    def body():
        yield (b'--b\\r\\nContent-Disposition: form-data; name="purpose"\\r\\n\\r\\nfine-tune\\r\\n'
               b'--b\\r\\nContent-Disposition: form-data; name="file"; filename="big.jsonl"\\r\\n\\r\\n')
        with path.open("rb") as file:
            while chunk := file.read(65536):
                yield chunk
        yield b"\\r\\n--b--\\r\\n"
    headers = {"authorization": f"Bearer {project.key}", "content-type": "multipart/form-data; boundary=b"}
    with httpx2.Client(timeout=300, trust_env=False) as http:
        return http.post(f"{root}/v1/files", content=body(), headers=headers).json()

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

with listening(create_app(state.settings, open_state=lambda _: state)) as root:
    small = folder / "small.jsonl"
    small.write_bytes(line * 3)
    assert sent(small)["status"] == "processed"
    before = peak()
    made = sent(big)
    assert made["status"] == "processed" and made["bytes"] == big.stat().st_size, made
    print(peak() - before)
"""


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    command = [sys.executable, "-c", UPLOAD, str(tmp_path), str(100 * 2**20)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 16, f"100 MiB took {done.stdout} MiB more memory than 300 kB"


@on_sqlite
def test_an_interrupted_upload_leaves_nothing(live: LiveApi) -> None:
    address = urlsplit(live.url)
    head = (
        f"POST /v1/files HTTP/1.1\r\nhost: tunery\r\nauthorization: Bearer {live.project.key}\r\n"
        "content-type: multipart/form-data; boundary=b\r\ncontent-length: 100000\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
    )
    connection = socket.create_connection((address.hostname, address.port), timeout=300)
    connection.sendall(head.encode() + b"x" * 50_000)
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(65536):
        pass
    connection.close()
    assert live.openai().files.list().data == []
    assert list(live.state.store.list()) == []


@on_sqlite
def test_a_file_that_trickles_in_is_refused_and_frees_its_connection(
    state: AppState, project: Project
) -> None:
    app = create_app(state.settings, open_state=lambda _: state)
    with listening(app) as url:
        app.state.upload_pace = Pace(2**16, window_seconds=0.05)
        address = urlsplit(url)
        head = (
            f"POST /v1/files HTTP/1.1\r\nhost: tunery\r\nauthorization: Bearer {project.key}\r\n"
            "content-type: multipart/form-data; boundary=b\r\ncontent-length: 100000\r\n\r\n--b\r\n"
        )
        with socket.create_connection((address.hostname, address.port), timeout=300) as connection:
            connection.sendall(head.encode())
            answer = b""
            while b"upload_too_slow" not in answer:
                piece = connection.recv(65536)
                assert piece, answer
                answer += piece
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"x-should-retry: false" in answer
        # What has no body is not bound by the pace.
        assert LiveApi(url, state, project).openai().files.list().data == []


@on_sqlite
def test_a_file_over_the_limit_is_413_and_its_sender_can_read_that(state: AppState, project: Project) -> None:
    small = with_settings(state, max_file_bytes=2**20)
    with listening(create_app(small.settings, open_state=lambda _: small)) as url:
        client = LiveApi(url, small, project).openai()
        for size, message in (
            (2**20 + 1, "1048577 bytes; at most 1048576"),
            (3 * 2**20, "at most 2097152 bytes"),
        ):
            with pytest.raises(openai.APIStatusError, match=message) as error:
                client.files.create(file=("a.bin", b"x" * size), purpose="user_data")
            assert (error.value.status_code, error.value.code) == (413, "request_too_large")
        assert client.files.create(file=("a.bin", b"x" * 2**20), purpose="user_data").bytes == 2**20


class FaultyStore(LocalStore):
    """Stores the bytes, but its answer is lost."""

    def put(self, key: str, source: bytes | BinaryIO) -> ObjectInfo:
        super().put(key, source)
        raise Unavailable("Storage does not answer.")


class FaultyDatabase(Database):
    fails_at = "begin"
    """"begin"; "commit", with nothing written; or "answer", with everything written."""
    writes = 0

    @contextmanager
    def write(self, *, frees_space: bool = False) -> Iterator[Session]:
        self.writes += 1
        self._fail("begin")
        with super().write(frees_space=frees_space) as session:
            yield session
            self._fail("commit")
        self._fail("answer")

    def _fail(self, at: str) -> None:
        # The first write records that the upload has begun; without it, nothing is stored.
        if self.fails_at == at and self.writes > 1:
            raise Unavailable("The database does not answer.")


def upload_to(state: AppState, project: Project) -> int:
    """Returns the status. What was stored is left for inspection."""
    app = create_app(state.settings, open_state=lambda _: state)
    with TestClient(app, headers={"authorization": f"Bearer {project.key}"}) as http:
        form = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
        return http.post("/v1/files", **form).status_code  # type: ignore[arg-type]


def rows(state: AppState, project: Project) -> list[str]:
    with state.database.read() as session:
        return [file.object_key for file in Files(session, project.tenant).list().data]


@on_sqlite
def test_a_file_waits_for_its_turn_to_be_stored_and_checked(http: TestClient) -> None:
    files = Turns(1, wait_seconds=0.01)
    app: FastAPI = http.app  # type: ignore[assignment]
    app.state.upload_turns = replace(app.state.upload_turns, files=files)
    form: dict[str, Any] = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    others = files.turn("proj-other")
    assert http.portal is not None
    http.portal.call(others.__aenter__)
    refused = http.post("/v1/files", **form)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "queue_timeout")
    http.portal.call(others.__aexit__, None, None, None)
    assert http.post("/v1/files", **form).json()["status"] == "processed"


@on_sqlite
def test_the_body_of_a_file_is_not_read_before_there_is_room_for_it(http: TestClient) -> None:
    app: FastAPI = http.app  # type: ignore[assignment]
    bodies = Turns(2**20, wait_seconds=0.01)
    app.state.upload_turns = replace(app.state.upload_turns, bodies=bodies)
    reads: list[int] = []

    def body() -> Iterator[bytes]:
        reads.append(1)
        yield b""

    others = [bodies.turn(project, 2**19) for project in ("proj-other", "proj-third")]
    assert http.portal is not None
    for one in others:
        http.portal.call(one.__aenter__)
    refused = http.post("/v1/files", content=body())
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "queue_timeout")
    assert int(refused.headers["retry-after"]) > 0
    assert reads == []
    http.portal.call(others[0].__aexit__, None, None, None)
    form: dict[str, Any] = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    assert http.post("/v1/files", **form).json()["status"] == "processed"
    http.portal.call(others[1].__aexit__, None, None, None)


def test_an_upload_whose_storage_answer_is_lost_leaves_no_object(state: AppState, project: Project) -> None:
    assert isinstance(state.store, LocalStore)
    faulty = replace(state, store=FaultyStore(state.store._root))
    assert upload_to(faulty, project) == 503
    assert (rows(state, project), list(state.store.list())) == ([], [])


@pytest.mark.parametrize("fails_at", ["begin", "commit", "answer"])
def test_a_refused_upload_leaves_an_object_only_if_it_has_a_row(
    state: AppState, project: Project, database_url: str, fails_at: str
) -> None:
    faulty = FaultyDatabase(database_url)
    faulty.fails_at = fails_at
    assert upload_to(replace(state, database=faulty), project) == 503
    stored = [info.key for info in state.store.list()]
    assert (len(stored), stored) == (int(fails_at == "answer"), rows(state, project))
