"""`tunery sweep` of an installation on one machine, and what it refuses."""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from cluster.storage.local import LocalStore
from service.db.database import Database
from service.db.files.files import Files
from service.db.organization.api_keys import ApiKeys
from tests.service.db.rows import TENANT, add_file

pytestmark = pytest.mark.slow

TUNERY = Path(sys.executable).with_name("tunery")


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TUNERY_")}
    command = [TUNERY, "sweep", *map(str, arguments)]
    return subprocess.run(command, env=kept | environment, capture_output=True, text=True, timeout=300)


def make_installation(folder: Path, rows: Path) -> LocalStore:
    """An installation with a deleted file whose object is still in storage."""
    folder.mkdir(exist_ok=True)
    with closing(Database(f"sqlite:///{rows}")) as database:
        database.migrate()
        with database.write() as session:
            ApiKeys(session).ensure_admin("an-admin-key-for-tests")
        file = add_file(database)
        with database.write() as session:
            Files(session, TENANT).delete(file.id)
    store = LocalStore(folder / "objects")
    store.put(file.object_key, b"x" * 1234)
    return store


def test_a_dry_run_lists_what_a_sweep_then_deletes_once_it_is_old_enough(tmp_path: Path) -> None:
    store = make_installation(tmp_path, tmp_path / "tunery.db")
    for grace, dry, removed in (("3600", [], 0), ("0", ["--dry-run"], 1234), ("0", [], 1234), ("0", [], 0)):
        done = run("--data", tmp_path, "--grace", grace, *dry)
        assert done.returncode == 0, done.stderr
        first, *_, total, _kept = done.stdout.splitlines()
        assert first == ("Would be removed:" if dry else "Removed:")
        assert total.split() == ["total", str(int(removed > 0)), "objects", f"{removed:,}", "bytes"]
    assert list(store.list()) == []


def test_the_environments_database_and_storage_take_precedence_over_the_folder(tmp_path: Path) -> None:
    store = make_installation(tmp_path / "elsewhere", tmp_path / "rows.db")
    done = run(
        *("--data", tmp_path / "absent", "--grace", 0),
        TUNERY_DATABASE_URL=f"sqlite:///{tmp_path / 'rows.db'}",
        TUNERY_STORAGE_URL=f"file://{tmp_path / 'elsewhere' / 'objects'}",
    )
    assert done.returncode == 0, done.stderr
    assert list(store.list()) == []


def test_a_folder_without_an_installation_is_refused_and_stays_empty(tmp_path: Path) -> None:
    done = run("--data", tmp_path / "typo")
    assert done.returncode == 1
    assert "There is no installation in" in done.stderr
    assert list(tmp_path.iterdir()) == []
