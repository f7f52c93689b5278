"""Completing an upload survives crashes, retries and cancellation, and always ends in one file or none."""

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient

from cluster.contracts.errors import Conflict, InsufficientStorage, InvalidRequest, Unavailable
from cluster.storage.keys import part_key
from cluster.storage.local import LocalStore
from cluster.storage.store import ObjectInfo
from service.api.app import create_app
from service.api.state import AppState
from service.api.uploads.completion import complete_upload
from service.db import tables
from service.db.files.files import Files
from service.db.files.upload_completions import CLAIM_SECONDS
from service.db.files.uploads import Uploads
from tests.api import Project
from tests.databases import on_both_databases

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ROOT = Path(__file__).parents[4]


class InterruptedStore(LocalStore):
    """Calls `at_put` when a file has been read and before it is there."""

    at_put: Callable[[], None]

    def put(self, key: str, source: bytes | BinaryIO) -> ObjectInfo:
        assert not isinstance(source, bytes)
        if key.startswith("files/"):
            self.at_put()
        return super().put(key, source)


def add_upload(state: AppState, project: Project, *contents: bytes) -> tuple[str, list[str]]:
    """Returns the ids of an upload and of its stored parts."""
    with state.database.write() as session:
        uploads = Uploads(session, project.tenant)
        size = sum(map(len, contents))
        upload_id = uploads.create(
            filename="a.txt", purpose="user_data", bytes=size, lifetime_seconds=3600
        ).id
        part_ids = [uploads.add_part(upload_id, Uploads.new_part_id(), len(it)).id for it in contents]
    for part_id, content in zip(part_ids, contents, strict=True):
        state.store.put(part_key(upload_id, part_id), content)
    return upload_id, part_ids


def interrupted(state: AppState, at_put: Callable[[], None]) -> AppState:
    assert isinstance(state.store, LocalStore)
    store = InterruptedStore(state.store._root)
    store.at_put = at_put
    return replace(state, store=store)


def contents(state: AppState, project: Project) -> list[bytes]:
    """Of the project's files. Every object in storage must be one of them."""
    with state.database.read() as session:
        keys = [file.object_key for file in Files(session, project.tenant).list().data]
    assert sorted(keys) == [info.key for info in state.store.list("files/")]
    return [state.store.get(key) for key in keys]


@on_both_databases
def test_a_retry_waits_for_the_first_request_and_gets_the_same_file(
    state: AppState, project: Project
) -> None:
    upload_id, part_ids = add_upload(state, project, b"abc", b"def")
    has_begun, may_go_on = threading.Event(), threading.Event()

    def at_put() -> None:
        has_begun.set()
        assert may_go_on.wait(300)

    slow = interrupted(state, at_put)
    app = create_app(state.settings, open_state=lambda _: slow)
    with TestClient(app, headers={"authorization": f"Bearer {project.key}"}) as http:
        url, body = f"/v1/uploads/{upload_id}/complete", {"part_ids": part_ids}
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(http.post, url, json=body)
            assert has_begun.wait(300)
            retry = pool.submit(http.post, url, json=body)
            may_go_on.set()
            answers = [first.result(), retry.result()]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].json() == answers[1].json()
    assert contents(state, project) == [b"abcdef"]
    assert list(state.store.list("uploads/")) == []


@on_both_databases
def test_a_request_that_was_replaced_while_it_was_stopped_adds_no_second_file(
    state: AppState, project: Project
) -> None:
    upload_id, part_ids = add_upload(state, project, b"abc", b"def")

    def another_takes_over() -> None:
        row = tables.Upload
        with state.database.write() as session:
            silent = row.completer_expires_at - 2 * CLAIM_SECONDS
            session.execute(update(row).values(completer_expires_at=silent))
        complete_upload(state, project.tenant, upload_id, part_ids, md5=None)

    with pytest.raises(Conflict):
        complete_upload(interrupted(state, another_takes_over), project.tenant, upload_id, part_ids, md5=None)
    assert contents(state, project) == [b"abcdef"]


def test_cancelling_stops_a_completion(state: AppState, project: Project) -> None:
    upload_id, part_ids = add_upload(state, project, b"abc", b"def")
    app = create_app(state.settings, open_state=lambda _: state)
    with TestClient(app, headers={"authorization": f"Bearer {project.key}"}) as http:

        def cancel() -> None:
            assert http.post(f"/v1/uploads/{upload_id}/cancel").json()["status"] == "cancelled"

        with pytest.raises(Conflict) as error:
            complete_upload(interrupted(state, cancel), project.tenant, upload_id, part_ids, md5=None)
    assert error.value.code == "upload_cancelled"
    assert contents(state, project) == []
    assert list(state.store.list()) == []


@on_sqlite
@pytest.mark.parametrize("fault", [Unavailable("Storage does not answer."), InsufficientStorage()])
def test_a_completion_that_fails_can_be_repeated_at_once(
    state: AppState, project: Project, fault: Unavailable
) -> None:
    upload_id, part_ids = add_upload(state, project, b"abc", b"def")

    def fail() -> None:
        raise fault

    with pytest.raises(type(fault)):
        complete_upload(interrupted(state, fail), project.tenant, upload_id, part_ids, md5=None)
    assert contents(state, project) == []
    assert complete_upload(state, project.tenant, upload_id, part_ids, md5=None).status == "completed"
    assert contents(state, project) == [b"abcdef"]


class JoiningStore(LocalStore):
    """Joins objects without anyone seeing their bytes, and cannot `put`."""

    def join(self, key: str, sources: Mapping[str, int]) -> bool:
        super().put(key, b"".join(self.get(source) for source in sources))
        return True

    def put(self, key: str, source: bytes | BinaryIO) -> ObjectInfo:
        raise AssertionError("the bytes pass through this process")


@on_sqlite
@pytest.mark.parametrize("content", [b"abcdef", b""])
def test_parts_that_the_store_joins_are_read_once_and_have_their_digests(
    state: AppState, project: Project, content: bytes
) -> None:
    upload_id, part_ids = add_upload(state, project, content[:3], content[3:])
    assert isinstance(state.store, LocalStore)
    joining = replace(state, store=JoiningStore(state.store._root))
    with pytest.raises(InvalidRequest, match="MD5"):
        complete_upload(joining, project.tenant, upload_id, part_ids, md5="0" * 32)
    assert contents(state, project) == []
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    upload = complete_upload(joining, project.tenant, upload_id, part_ids, md5=md5)
    assert contents(state, project) == [content]
    with state.database.read() as session:
        file = Files(session, project.tenant).get(upload.file_id or "")
    assert (file.bytes, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())


KILLED = """
import os, sys
from pathlib import Path
from cluster.storage.local import LocalStore
from service.api.state import AppState
from service.api.uploads.completion import complete_upload
from service.db.database import Database
from service.db.tenancy import Tenant
from service.settings import Settings
from tests.api import BASE
from tests.fakes import FakeEngine
from tests.service.api.uploads.test_completion import InterruptedStore

url, folder, at, organization, project, upload_id, *part_ids = sys.argv[1:]

class Killed(InterruptedStore):
    def put(self, key, source):
        class Source:
            def read(self, n):
                if at == "within" and (chunk := source.read(4)):
                    self.n = getattr(self, "n", 0) + 1
                    if self.n == 2:
                        os._exit(9)
                    return chunk
                return source.read(n)
        put = LocalStore.put(self, key, Source())
        if at == "after":
            os._exit(9)
        return put

    def delete_many(self, keys):
        os._exit(9)

state = AppState(Settings(), Database(url), Killed(Path(folder)), FakeEngine(), {BASE.alias: BASE})
complete_upload(state, Tenant(organization, project), upload_id, part_ids, md5=None)
"""


@on_sqlite
@pytest.mark.slow
@pytest.mark.parametrize("at", ["within", "after", "commit"])
def test_a_process_that_dies_while_it_completes_an_upload_loses_nothing(
    state: AppState, project: Project, database_url: str, at: str
) -> None:
    upload_id, part_ids = add_upload(state, project, b"abc", b"defghi")
    assert isinstance(state.store, LocalStore)
    tenant = project.tenant
    names = [database_url, str(state.store._root), at, tenant.organization_id, tenant.project_id, upload_id]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *names, *part_ids],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 9, done.stderr
    with state.database.write() as session:
        row = session.scalars(select(tables.Upload)).one()
        assert row.status == ("completed" if at == "commit" else "pending")
        row.completer_expires_at = 1.0
    assert complete_upload(state, project.tenant, upload_id, part_ids, md5=None).status == "completed"
    with state.database.read() as session:
        (file,) = Files(session, project.tenant).list().data
    assert state.store.get(file.object_key) == b"abcdefghi"
