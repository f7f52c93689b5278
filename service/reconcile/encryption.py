"""Checks that the storage can encrypt with the keys of the projects."""

from collections.abc import Iterator

from sqlalchemy import select

from cluster.contracts.errors import InvalidConfiguration, Unavailable
from cluster.storage.store import ObjectStore
from service.db import tables
from service.db.database import Database
from service.reconcile.findings import Finding
from service.storage_check import check_storage


def check_keys(database: Database, store: ObjectStore) -> Iterator[Finding]:
    """Writes, reads and deletes an object with each key, using the rights of this process."""
    project = tables.Project
    pairs = select(project.encryption_key, project.id).order_by(project.id)
    projects: dict[str, list[str]] = {}
    with database.read() as session:
        for key, project_id in session.execute(pairs):
            if key is not None:
                projects.setdefault(key, []).append(project_id)
    num_failed = 0
    for key, ids in projects.items():
        try:
            check_storage(store.encrypted_with(key))
        except (InvalidConfiguration, Unavailable) as error:
            num_failed += 1
            found = f"Storage takes no object with this key of {', '.join(ids)}: {error.message}"
            yield Finding("encryption", "failed", key, found)
    if projects and not num_failed:
        yield Finding(
            "encryption", "ok", "", f"Storage encrypts with all {len(projects):,} keys of projects."
        )
