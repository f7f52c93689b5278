"""Rows of every table, from each database into each."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from cluster.storage.local import LocalStore
from service.backup.folder import BackupReader
from service.backup.making import make_backup
from service.backup.restoring import check_backup, restore
from service.db import tables
from service.db.database import Database
from tests.databases import postgres_database
from tests.service.db.test_upgrades import NUM_ROWS, REVISIONS, all_rows, common, filled


@contextmanager
def empty(kind: str, request: pytest.FixtureRequest, path: Path) -> Iterator[Database]:
    """A database without a schema."""
    if kind == "sqlite":
        with closing(Database(f"sqlite:///{path}")) as database:
            yield database
        return
    server = request.getfixturevalue("postgres_url")
    with postgres_database(server) as url, closing(Database(url)) as database:
        yield database


@pytest.mark.parametrize(
    ("source", "target", "revision"),
    [
        ("sqlite", "sqlite", REVISIONS[-1]),
        ("sqlite", "sqlite", "0020"),
        pytest.param("sqlite", "postgresql", REVISIONS[-1], marks=pytest.mark.slow),
        pytest.param("postgresql", "sqlite", REVISIONS[-1], marks=pytest.mark.slow),
        pytest.param("postgresql", "postgresql", "0020", marks=pytest.mark.slow),
    ],
)
def test_all_rows_are_restored_into_either_database_and_migrated(
    source: str, target: str, revision: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    store = LocalStore(tmp_path / "objects")
    with (
        empty(source, request, tmp_path / "from.db") as old,
        empty(target, request, tmp_path / "to.db") as new,
    ):
        before = filled(old, revision)
        make_backup(old, store, tmp_path / "backup", secret=None, copies_objects=True, progress=print)
        backup = BackupReader(tmp_path / "backup", None)
        assert backup.manifest.revision == revision
        check_backup(backup, print)
        restored = restore(backup, new, store, print)
        assert restored.rows == sum(map(len, before.values()))
        after = all_rows(new)
        for table, rows in before.items():
            assert len(rows) == NUM_ROWS
            assert common(rows, after[table]) == common(after[table], rows), table
        with new.write() as session:
            entry = tables.OutboxEntry(
                organization_id=before["organizations"][0]["id"],
                project_id=before["projects"][0]["id"],
                topic="next",
                payload={},
                created_at=0,
            )
            session.add(entry)
            session.flush()
            assert entry.id == max(row["id"] for row in before["outbox"]) + 1


def test_a_snapshot_shows_one_moment_and_holds_up_no_writer(database: Database) -> None:
    with database.snapshot() as session:
        assert session.query(tables.Organization).count() == 0
        with database.write() as writer:
            writer.add(tables.Organization(id="o", name="o", created_at=0))
        assert session.query(tables.Organization).count() == 0
    with database.read() as session:
        assert session.query(tables.Organization).count() == 1


def test_an_interrupted_restore_leaves_no_row(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "objects")
    with closing(Database(f"sqlite:///{tmp_path / 'old.db'}")) as old:
        filled(old, REVISIONS[-1])
        make_backup(old, store, tmp_path / "backup", secret=None, copies_objects=True, progress=print)
    jobs = tmp_path / "backup" / "tables" / "webhook_deliveries.jsonl"
    rows = [json.loads(line) for line in jobs.read_text().splitlines()]
    jobs.write_text(json.dumps({**rows[0], "unknown": 1}) + "\n")
    with closing(Database(f"sqlite:///{tmp_path / 'new.db'}")) as new:
        with pytest.raises(Exception, match="webhook_deliveries"):
            restore(BackupReader(tmp_path / "backup", None), new, store, print)
        assert Counter(all_rows(new)) == Counter()
