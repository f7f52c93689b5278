"""Liveness is about the process; readiness is about everything that a request needs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import BinaryIO

import pytest
from sqlalchemy import insert, update
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from cluster.contracts.errors import Unavailable
from cluster.storage.local import LocalStore
from cluster.storage.store import ObjectInfo
from service.api.app import create_app
from service.api.state import AppState
from service.db import tables
from service.db.database import Database
from service.db.scheduler.leases import Leases
from tests.databases import on_both_databases
from tests.fakes import FakeEngine


def lead(state: AppState) -> None:
    with state.database.write() as session:
        assert Leases(session).acquire("scheduler", "me", seconds=60)


class FullDisk(LocalStore):
    def put(self, key: str, source: object) -> ObjectInfo:
        raise Unavailable("no space left in storage")


class Broken(LocalStore):
    def put(self, key: str, source: object) -> ObjectInfo:
        raise OSError(5, "Input/output error", "/srv/objects")


def ready(state: AppState) -> tuple[int, dict[str, str]]:
    with TestClient(create_app(state.settings, open_state=lambda _: state)) as client:
        assert client.get("/healthz").json() == {"status": "alive"}
        answer = client.get("/readyz")
        body = answer.json()
        assert body["status"] == ("ready" if answer.status_code == 200 else "not_ready")
        return answer.status_code, body["parts"]


def test_a_repeated_check_is_answered_from_the_cache(state: AppState) -> None:
    puts = 0

    class Counted(LocalStore):
        def put(self, key: str, source: bytes | BinaryIO) -> ObjectInfo:
            nonlocal puts
            puts += 1
            return super().put(key, source)

    counted = replace(state, store=Counted(state.store._root))  # type: ignore[attr-defined]
    with TestClient(create_app(state.settings, open_state=lambda _: counted)) as client:
        first, second = client.get("/readyz"), client.get("/readyz")
    assert (first.json(), puts) == (second.json(), 1)


def test_ready_is_200_only_when_every_part_is(state: AppState) -> None:
    fine = {"database": "ok", "storage": "ok", "serving": "ok", "scheduler": "ok"}
    assert ready(state) == (503, fine | {"scheduler": "no scheduler is running"})
    lead(state)
    assert ready(state) == (200, fine)
    assert list(state.store.list()) == []
    away = replace(state, engine=FakeEngine(is_healthy=False))
    assert ready(away) == (503, fine | {"serving": "The model server does not answer."})
    broken = replace(state, store=Broken(state.store._root))  # type: ignore[attr-defined]
    assert ready(broken) == (503, fine | {"storage": "the check failed; see the server's log"})
    full = replace(state, store=FullDisk(state.store._root))  # type: ignore[attr-defined]
    assert ready(full) == (503, fine | {"storage": "no space left in storage"})
    gone = replace(state, database=Database("postgresql://nobody@127.0.0.1:1/none"))
    status, found = ready(gone)
    assert status == 503
    assert found["database"] != "ok"
    assert "nobody" not in str(found)


def test_only_the_parts_that_are_asked_about_decide(state: AppState) -> None:
    away = replace(state, engine=FakeEngine(is_healthy=False))
    own = {"part": ["database", "storage"]}
    with TestClient(create_app(state.settings, open_state=lambda _: away)) as client:
        answer = client.get("/readyz", params=own)
        assert (answer.status_code, answer.json()["parts"]) == (200, {"database": "ok", "storage": "ok"})
        assert client.get("/readyz", params={"part": "serving"}).status_code == 503
        assert client.get("/readyz").status_code == 503
        assert client.get("/readyz", params={"part": "engine"}).status_code == 400
        client.app.state.draining.has_begun = True  # type: ignore[attr-defined]
        assert client.get("/readyz", params=own).status_code == 503


@on_both_databases
def test_a_database_that_takes_no_writes_is_not_ready(state: AppState, database_url: str) -> None:
    lead(state)
    with state.database.write() as session:
        # Another writer holds the lock for longer than anyone waits. Reads still work.
        session.execute(update(tables.Lease).values(holder="another"))
        session.execute(insert(tables.Lease).values(name="readiness", holder="", epoch=0, expires_at=0))
        status, found = ready(replace(state, database=Database(database_url, busy_seconds=0.2)))
    assert (status, found["scheduler"]) == (503, "ok")
    assert found["database"] == "The database does not answer."
    assert ready(state)[0] == 200


def test_a_repeated_check_writes_nothing(state: AppState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.readiness.KEPT_SECONDS", 1000.0)
    writes = 0

    class Counted(Database):
        @contextmanager
        def write(self, *, frees_space: bool = False) -> Iterator[Session]:
            nonlocal writes
            writes += 1
            with state.database.write() as session:
                yield session

    counted = replace(state, database=Counted("sqlite:///unused"))
    counted.database.read = state.database.read  # type: ignore[method-assign]
    with TestClient(create_app(state.settings, open_state=lambda _: counted)) as client:
        for _ in range(20):
            client.get("/readyz")
    assert writes == 1
