import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from cluster.contracts.errors import AuthenticationFailed
from service.db.database import Database
from service.db.organization.api_keys import ApiKeys


def migrate(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service.migrate", *arguments]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TUNERY_")}
    return subprocess.run(command, env=kept | environment, capture_output=True, text=True)


def test_empty_database_gets_its_tables_and_the_admin_key_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'tunery.db'}"
    for _ in range(2):
        done = migrate(TUNERY_DATABASE_URL=url, TUNERY_API_KEY="an-admin-key-of-the-operator")
        assert done.returncode == 0, done.stderr
    database = Database(url)
    try:
        with database.read() as session:
            assert ApiKeys(session).authenticate("an-admin-key-of-the-operator") is not None
    finally:
        database.close()


def test_another_key_in_the_environment_replaces_the_earlier_one(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'tunery.db'}"
    for key in ("the-key-that-was-rotated-out", "the-key-that-was-rotated-in"):
        done = migrate(TUNERY_DATABASE_URL=url, TUNERY_API_KEY=key)
        assert done.returncode == 0, done.stderr
    with closing(Database(url)) as database, database.read() as session:
        assert ApiKeys(session).authenticate("the-key-that-was-rotated-in").may("admin")
        with pytest.raises(AuthenticationFailed):
            ApiKeys(session).authenticate("the-key-that-was-rotated-out")


def test_a_new_installation_needs_a_key_and_a_later_version_keeps_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'tunery.db'}"
    done = migrate(TUNERY_DATABASE_URL=url)
    assert done.returncode == 1
    assert "TUNERY_API_KEY is not set" in done.stderr
    assert migrate(TUNERY_DATABASE_URL=url, TUNERY_API_KEY="the-key-of-the-operator").returncode == 0
    done = migrate(TUNERY_DATABASE_URL=url)
    assert done.returncode == 0, done.stderr
    with closing(Database(url)) as database, database.read() as session:
        assert ApiKeys(session).authenticate("the-key-of-the-operator").may("admin")


def test_a_role_that_cannot_be_granted_to_is_an_error_without_a_traceback(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'tunery.db'}"
    done = migrate("--grant-to", "x", TUNERY_DATABASE_URL=url, TUNERY_API_KEY="an-admin-key-of-the-operator")
    assert (done.returncode, done.stderr) == (1, "SQLite has no roles: grant to one in PostgreSQL.\n")
