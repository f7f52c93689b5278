"""Receiving parts: what is cut off or refused leaves nothing."""

import errno
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO
from urllib.parse import urlsplit

import pytest
from starlette.formparsers import SpooledTemporaryFile
from starlette.testclient import TestClient

from cluster.contracts.errors import InsufficientStorage, Unavailable
from cluster.storage.local import LocalStore
from cluster.storage.store import ObjectInfo
from service.api.app import create_app
from service.api.state import AppState
from service.api.uploads.pace import Pace
from tests.api import LiveApi, Project, listening, with_settings

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
PART = {"files": {"data": b"abc"}}


def add_upload(http: TestClient, size: int = 3) -> str:
    body = {"bytes": size, "filename": "a.txt", "mime_type": "text/plain", "purpose": "user_data"}
    upload_id: str = http.post("/v1/uploads", json=body).json()["id"]
    return upload_id


def part_head(upload_id: str, key: str) -> bytes:
    """Announces a part of 100,000 bytes."""
    return (
        f"POST /v1/uploads/{upload_id}/parts HTTP/1.1\r\nhost: tunery\r\n"
        f"authorization: Bearer {key}\r\n"
        "content-type: multipart/form-data; boundary=b\r\ncontent-length: 100200\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="data"; filename="a"\r\n\r\n'
    ).encode()


def test_a_part_that_is_cut_off_leaves_nothing_and_can_be_sent_again(live: LiveApi) -> None:
    address, client = urlsplit(live.url), live.openai()
    upload = client.uploads.create(
        bytes=100_000, filename="a.bin", mime_type="application/octet-stream", purpose="user_data"
    )
    head = part_head(upload.id, live.project.key)
    for sent in (0, 1, 50_000, 99_999):
        connection = socket.create_connection((address.hostname, address.port), timeout=300)
        connection.sendall(head + b"x" * sent)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
        connection.close()
    assert list(live.state.store.list()) == []
    part = client.uploads.parts.create(upload.id, data=b"x" * 100_000)
    assert client.uploads.complete(upload.id, part_ids=[part.id]).status == "completed"


@pytest.mark.parametrize("fault", [Unavailable("Storage does not answer."), InsufficientStorage()])
def test_a_part_that_cannot_be_stored_leaves_nothing(
    state: AppState, project: Project, fault: Unavailable
) -> None:
    class Faulty(LocalStore):
        """Stores the part, but its answer is lost."""

        def put(self, key: str, source: bytes | BinaryIO) -> ObjectInfo:
            super().put(key, source)
            raise fault

    assert isinstance(state.store, LocalStore)
    faulty = replace(state, store=Faulty(state.store._root))
    app = create_app(state.settings, open_state=lambda _: faulty)
    with TestClient(app, headers={"authorization": f"Bearer {project.key}"}) as http:
        answer = http.post(f"/v1/uploads/{add_upload(http)}/parts", **PART)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["error"]["code"]) == (
        (507, "insufficient_storage")
        if isinstance(fault, InsufficientStorage)
        else (503, "service_unavailable")
    )
    assert list(state.store.list()) == []


def test_a_part_that_cannot_be_buffered_is_507(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    upload_id = add_upload(http)

    def fail(self: object, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "no space", "/srv/secret/spool")

    monkeypatch.setattr(SpooledTemporaryFile, "write", fail)
    answer = http.post(f"/v1/uploads/{upload_id}/parts", **PART)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "insufficient_storage")


def test_the_body_of_a_part_is_read_only_if_its_upload_is_pending(http: TestClient) -> None:
    def body() -> Iterator[bytes]:
        reads.append(1)
        yield b""

    reads: list[int] = []
    cancelled = add_upload(http)
    http.post(f"/v1/uploads/{cancelled}/cancel")
    for upload_id, status in (("upload_absent", 404), (cancelled, 409)):
        answer = http.post(f"/v1/uploads/{upload_id}/parts", content=body())
        assert (answer.status_code, reads) == (status, [])


def test_a_part_that_is_sent_too_slowly_gives_its_turn_to_the_next(state: AppState, project: Project) -> None:
    limited = with_settings(state, max_parts_at_once=1)
    app = create_app(limited.settings, open_state=lambda _: limited)
    with listening(app) as url:
        address, client = urlsplit(url), LiveApi(url, limited, project).openai()
        upload = client.uploads.create(bytes=3, filename="a.txt", mime_type="text/plain", purpose="user_data")
        app.state.upload_pace = Pace(2**16, window_seconds=0.05)
        with socket.create_connection((address.hostname, address.port), timeout=300) as connection:
            connection.sendall(part_head(upload.id, project.key) + b"x")
            answer = b""
            while b"upload_too_slow" not in answer:
                piece = connection.recv(65536)
                assert piece, answer
                answer += piece
        assert answer.startswith(b"HTTP/1.1 408")
        app.state.upload_pace = Pace(1)
        assert client.uploads.parts.create(upload.id, data=b"abc").upload_id == upload.id


def test_a_form_without_data_is_refused_by_name(http: TestClient) -> None:
    url = f"/v1/uploads/{add_upload(http)}/parts"
    for form in ({}, {"data": {"data": "abc"}}, {"json": {"data": "abc"}}):
        answer = http.post(url, **form)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "data")


def test_parts_count_towards_the_projects_stored_bytes_and_the_file_replaces_them(
    state: AppState, project: Project
) -> None:
    limited = with_settings(state, project_stored_bytes=6)
    app = create_app(limited.settings, open_state=lambda _: limited)
    with TestClient(app, headers={"authorization": f"Bearer {project.key}"}) as http:
        upload_id, second = add_upload(http, 6), add_upload(http, 3)
        part_id = http.post(f"/v1/uploads/{upload_id}/parts", files={"data": b"abcdef"}).json()["id"]
        refused = http.post(f"/v1/uploads/{second}/parts", **PART)  # type: ignore[arg-type]
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "exceeded_quota")
        assert http.post(f"/v1/uploads/{upload_id}/complete", json={"part_ids": [part_id]}).status_code == 200
        body = {"bytes": 1, "filename": "a.txt", "mime_type": "text/plain", "purpose": "user_data"}
        assert http.post("/v1/uploads", json=body).status_code == 429
    assert [info.bytes for info in state.store.list()] == [6]
