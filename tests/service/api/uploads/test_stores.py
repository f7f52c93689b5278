"""Uploads on every kind of store."""

import hashlib
from dataclasses import replace
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from cluster.storage.local import LocalStore
from cluster.storage.s3 import S3Store
from cluster.storage.store import ObjectStore
from service.api.app import create_app
from service.api.state import AppState
from tests.api import Project
from tests.s3_servers import S3Endpoint

pytestmark = pytest.mark.slow

MIB = 2**20


@pytest.fixture(params=["folder", "moto", "rclone"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    if request.param == "folder":
        return LocalStore(tmp_path / "objects")
    endpoint: S3Endpoint = request.getfixturevalue(
        "moto_endpoint" if request.param == "moto" else "s3_endpoint"
    )
    for name, value in endpoint.environment.items():
        monkeypatch.setenv(name, value)
    return S3Store(endpoint.bucket, prefix=uuid4().hex, endpoint_url=endpoint.url, part_bytes=5 * MIB)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_parts_of_any_size_become_one_object_of_the_stores_own_parts(
    state: AppState, project: Project, store: ObjectStore
) -> None:
    """S3's parts have at least 5 MiB, except the last one; ours may have any size."""
    random = Random(3)
    pieces = [random.randbytes(size) for size in (1, 6 * MIB, 0, 3 * MIB, 5 * MIB, 100)]
    content = b"".join(pieces)
    app = create_app(state.settings, open_state=lambda _: replace(state, store=store))
    with TestClient(app, headers={"authorization": f"Bearer {project.key}"}) as http:
        body = {
            "bytes": len(content),
            "filename": "a.bin",
            "mime_type": "application/octet-stream",
            "purpose": "user_data",
        }
        upload = f"/v1/uploads/{http.post('/v1/uploads', json=body).json()['id']}"
        part_ids = {}
        for number in random.sample(range(len(pieces)), len(pieces)):
            answer = http.post(f"{upload}/parts", files={"data": pieces[number]})
            part_ids[number] = answer.json()["id"]
        complete = {
            "part_ids": [part_ids[number] for number in range(len(pieces))],
            "md5": hashlib.md5(content, usedforsecurity=False).hexdigest().upper(),
        }
        file = http.post(f"{upload}/complete", json=complete).json()["file"]
        assert http.get(f"/v1/files/{file['id']}/content").content == content
    assert [(info.key, info.bytes) for info in store.list()] == [(f"files/{file['id']}", len(content))]
    assert list(store.unfinished()) == []
