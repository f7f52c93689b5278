"""What was written with a former key, or without one, gets the key that its project has now."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.contracts.errors import Unavailable
from service.backup.objects import needed_objects
from service.cli.main import app
from service.db.organization.projects import Projects
from service.reencryption import Reencrypted, reencrypt
from tests.api import add_project
from tests.keyed_store import KEY, OTHER_KEY, KeyedStore
from tests.service.db.rows import TENANT, add_file
from tests.service.scheduling.world import World


@pytest.fixture
def world(tmp_path: Path, sqlite_template: Path) -> Iterator[World]:
    path = tmp_path / "tunery.db"
    path.write_bytes(sqlite_template.read_bytes())
    with closing(World(f"sqlite:///{path}", tmp_path / "objects")) as world:
        yield world


@pytest.fixture
def store(world: World, tmp_path: Path) -> KeyedStore:
    """With the objects of a job whose project has no key yet, and a file of a project that never gets one."""
    world.store = store = KeyedStore(tmp_path / "objects")
    world.train(world.start())
    world.scheduler().tick()
    file = add_file(world.database, add_project(world.database).tenant)
    store.put(file.object_key, b"ten bytes.")
    return store


def set_key(world: World, key: str | None) -> None:
    with world.database.write() as session:
        Projects(session, TENANT.organization_id).set_encryption_key(TENANT.project_id, key)


def needed(world: World, store: KeyedStore) -> list[str]:
    with world.database.snapshot() as session:
        return [entry.key for entry in needed_objects(session, store)]


def run(world: World, store: KeyedStore, *, is_dry_run: bool = False) -> Reencrypted:
    return reencrypt(world.database, store, lambda done, total: None, is_dry_run=is_dry_run)


def test_each_object_gets_its_projects_key_once(world: World, store: KeyedStore) -> None:
    content = {key: store.get(key) for key in needed(world, store)}
    total = len(content)
    assert total > 3
    for key in (KEY, OTHER_KEY, None):
        set_key(world, key)
        before = dict(store.keys)
        would = run(world, store, is_dry_run=True)
        assert store.keys | before == store.keys
        done = run(world, store)
        # The other project's file is the one that stays.
        assert (done, done.objects, done.kept_objects) == (would, total - 1, 1)
        assert sorted(map(str, (store.keys[name] for name in content))) == sorted(
            map(str, [None, *[key] * (total - 1)])
        )
        assert run(world, store) == Reencrypted(0, 0, total)
    assert {key: store.get(key) for key in content} == content


def test_a_key_that_storage_refuses_changes_nothing(world: World, store: KeyedStore) -> None:
    set_key(world, KEY)
    before = dict(store.keys)
    store.refused.add(KEY)
    with pytest.raises(Unavailable):
        run(world, store)
    assert {name: key for name, key in store.keys.items() if name in before} == before


def test_an_object_that_is_deleted_meanwhile_is_no_error(
    world: World, store: KeyedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_key(world, KEY)
    gone = next(store.list("files")).key
    encrypt_anew = KeyedStore.reencrypt

    def deleted_first(self: KeyedStore, key: str) -> None:
        if key == gone:
            self.delete(key)
        encrypt_anew(self, key)

    total = len(needed(world, store))
    monkeypatch.setattr(KeyedStore, "reencrypt", deleted_first)
    assert run(world, store).objects == total - 2


def test_the_command_on_a_store_without_keys_finds_nothing_to_do(world: World, tmp_path: Path) -> None:
    world.start()
    places = {
        "TUNERY_DATABASE_URL": f"sqlite:///{tmp_path}/tunery.db",
        "TUNERY_STORAGE_URL": f"file://{tmp_path}/objects",
    }
    done = CliRunner().invoke(app, ["reencrypt", "--json"], env=places)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["objects"] == 0
    set_key(world, KEY)
    done = CliRunner().invoke(app, ["reencrypt"], env=places)
    assert (done.exit_code, "does not encrypt with keys" in done.output) == (1, True)
