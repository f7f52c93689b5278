"""On a full disk, clients get a clear error, and files can still be read and deleted."""

import errno
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import pytest
from sqlalchemy.exc import OperationalError
from starlette.formparsers import SpooledTemporaryFile
from starlette.testclient import TestClient

from cluster.contracts.errors import InsufficientStorage
from cluster.storage.local import LocalStore
from cluster.storage.store import ObjectInfo
from service.api.app import create_app
from service.api.state import AppState
from service.db.database import Database
from service.db.reserved_space import ReservedSpace
from tests.api import Project, jsonl
from tests.databases import on_both_databases

pytestmark = pytest.mark.slow

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
FORM = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}

ROOT = Path(__file__).parents[3]
SCRIPT = """
import os, shutil, sys
from pathlib import Path
from starlette.testclient import TestClient
from cluster.storage.local import LocalStore
from service.api.app import create_app
from service.api.state import AppState
from service.db.database import Database
from service.settings import Settings
from tests.api import BASE, add_project, add_tuned_model, jsonl
from tests.fakes import FakeEngine

root = Path(sys.argv[1])
database = Database(f"sqlite:///{root}/tunery.db")
database.migrate()
project = add_project(database)
state = AppState(Settings(), database, LocalStore(root / "objects"), FakeEngine(), {BASE.alias: BASE})
app = create_app(state.settings, open_state=lambda _: state)
form = lambda: {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
with TestClient(app, headers={"authorization": f"Bearer {project.key}"}) as http:
    small, other = [http.post("/v1/files", **form()).json()["id"] for _ in range(2)]
    job = http.post("/v1/fine_tuning/jobs", json={"model": "base-1", "training_file": other}).json()["id"]
    model, _ = add_tuned_model(database, job)
    with open(root / "ballast", "wb", buffering=0) as ballast:
        try:
            while ballast.write(b"x" * 512):
                pass
        except OSError as error:
            print(error.strerror)
    assert shutil.disk_usage(root).free == 0
    answers = [
        http.post("/v1/files", **form()),
        http.post("/v1/fine_tuning/jobs", json={"model": "base-1", "training_file": small}),
    ]
    for answer in answers:
        assert answer.status_code == 507, answer.text
        assert answer.json()["error"]["code"] == "insufficient_storage"
        assert answer.headers["x-should-retry"] == "false"
        assert str(root) not in answer.text
    ready = http.get("/readyz")
    assert ready.status_code == 503, ready.text
    assert "no space left" in ready.json()["parts"]["database"]
    assert "no space left" in ready.json()["parts"]["storage"]
    assert str(root) not in ready.text
    assert len(http.get("/v1/files").json()["data"]) == 2
    assert http.get(f"/v1/files/{small}/content").content == jsonl()
    for path in (f"/v1/models/{model}", f"/v1/files/{small}", f"/v1/files/{other}"):
        answer = http.delete(path)
        assert answer.status_code == 200, (path, answer.text)
        assert http.get(path).status_code == 404
    assert [path.name for path in (root / "objects").rglob("*") if path.is_file()] == []
    os.unlink(root / "ballast")
    assert http.post("/v1/files", **form()).status_code == 200
print("done")
"""


def test_on_a_full_disk_errors_are_clear_and_files_can_be_read_and_deleted(tmp_path: Path) -> None:
    """Runs on a file system of its own, in a namespace of its own."""
    (tmp_path / "script.py").write_text(SCRIPT)
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = 'mount -t tmpfs -o size=12m tmpfs "$1"'
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount, "sh", disk], capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    run = f'{mount} && exec "$2" "$3" "$1"'
    command = ["unshare", "-rm", "sh", "-c", run, "sh", disk, sys.executable, tmp_path / "script.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["No space left on device", "done"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_an_upload_that_cannot_be_buffered_is_507(
    http: TestClient, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(self: object, data: bytes) -> int:
        raise OSError(number, "no space", "/srv/secret/spool")

    monkeypatch.setattr(SpooledTemporaryFile, "write", fail)
    answer = http.post("/v1/files", **FORM)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "insufficient_storage")
    assert "secret" not in answer.text


@on_sqlite
def test_an_unexpected_full_disk_is_507_too(state: AppState, project: Project) -> None:
    class Raw(LocalStore):
        def put(self, key: str, source: bytes | BinaryIO) -> ObjectInfo:
            raise OSError(errno.ENOSPC, "no space", "/srv/secret/objects")

    raw = replace(state, store=Raw(state.store._root))  # type: ignore[attr-defined]
    app = create_app(state.settings, open_state=lambda _: raw)
    with TestClient(app, headers={"authorization": f"Bearer {project.key}"}) as http:
        answer = http.post("/v1/files", **FORM)  # type: ignore[arg-type]
        assert (answer.status_code, "secret" in answer.text) == (507, False)
        assert http.get("/readyz").status_code == 503


@on_both_databases
def test_a_full_disk_of_the_database_is_reported_as_such(database: Database) -> None:
    class Full(Exception):
        sqlstate = "53100"

    with pytest.raises(InsufficientStorage), database.write():
        raise OperationalError("INSERT", {}, Full())


def test_the_reserve_is_released_only_when_needed_and_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "reserve"
    reserve = ReservedSpace(path)
    reserve.allocate()
    size = path.stat().st_blocks
    assert size > 0
    assert path.stat().st_mode & 0o777 == 0o600
    with reserve.released():
        assert path.exists()
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Usage(free=0))
    with reserve.released():
        assert not path.exists()
    assert path.stat().st_blocks == size


@dataclass
class _Usage:
    free: int
