"""A backup of projects with keys of storage is restored with them, with others, or without."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cluster.contracts.errors import InvalidConfiguration
from cluster.storage.local import LocalStore
from service.backup.folder import BackupReader
from service.backup.making import make_backup
from service.backup.restoring import KeyReplacements, check_encryption, restore
from service.db.database import Database
from service.db.files.files import Files
from service.db.organization.projects import Projects, encryption_key_of
from service.db.tenancy import Tenant
from tests.api import add_project
from tests.databases import sqlite_copy
from tests.keyed_store import KEY, OTHER_KEY, KeyedStore
from tests.service.db.rows import TENANT, add_file
from tests.service.scheduling.world import World


@pytest.fixture
def world(tmp_path: Path, sqlite_template: Path) -> Iterator[World]:
    with closing(World(sqlite_copy(sqlite_template), tmp_path / "objects")) as world:
        yield world


@pytest.fixture
def other(world: World) -> Tenant:
    """A project without a key."""
    return add_project(world.database).tenant


@pytest.fixture
def backup(world: World, other: Tenant, tmp_path: Path) -> BackupReader:
    """Of a project with a key, whose job has a state, and of the other one, which have a file each."""
    with world.database.write() as session:
        Projects(session, TENANT.organization_id).set_encryption_key(TENANT.project_id, KEY)
    world.store = KeyedStore(tmp_path / "objects")
    world.train(world.start())
    world.scheduler().tick()
    world.store.put(add_file(world.database, other).object_key, b"ten bytes.")
    make_backup(
        world.database, world.store, tmp_path / "backup", secret=None, copies_objects=True, progress=print
    )
    return BackupReader(tmp_path / "backup", None)


@pytest.mark.parametrize(
    ("replacements", "key"), [({}, KEY), ({KEY: OTHER_KEY}, OTHER_KEY), ({KEY: None}, None)]
)
def test_each_projects_objects_have_its_key_again(
    backup: BackupReader,
    other: Tenant,
    tmp_path: Path,
    replacements: KeyReplacements,
    key: str | None,
) -> None:
    store = KeyedStore(tmp_path / "elsewhere")
    check_encryption(backup, store, replacements)
    with closing(Database(f"sqlite:///{tmp_path / 'new.db'}")) as database:
        restored = restore(backup, database, store, print, replacements=replacements)
        with database.read() as session:
            kept = [encryption_key_of(session, id) for id in (TENANT.project_id, other.project_id)]
            theirs = {file.object_key for file in Files(session, other).list(limit=10).data}
    assert kept == [key, None]
    assert restored.objects == len(store.keys) > len(theirs) == 1
    assert {name: found for name, found in store.keys.items() if name in theirs} == dict.fromkeys(theirs)
    assert {found for name, found in store.keys.items() if name not in theirs} == {key}


def test_a_store_without_keys_is_refused_before_anything_is_written(
    backup: BackupReader, tmp_path: Path
) -> None:
    store = LocalStore(tmp_path / "elsewhere")
    with pytest.raises(InvalidConfiguration, match=f"--encryption-key {KEY}=") as refused:
        check_encryption(backup, store, {})
    assert refused.value.code == "encryption_unsupported"
    check_encryption(backup, store, {KEY: None})
