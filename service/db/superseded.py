"""Folders in storage with superseded objects, recorded from the transaction that supersedes them until the
objects are deleted. Recorded folders need not wait for a sweep, which would find the objects only after a
day."""

from collections.abc import Iterable

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from cluster.storage.keys import folder_of
from service.db import tables
from service.db.database import now


def note_superseded(session: Session, manifest_keys: Iterable[str], *, at: float) -> None:
    """Records the folders of these manifests."""
    for key in manifest_keys:
        folder = folder_of(key)
        if session.get(tables.SupersededFolder, folder) is None:
            session.add(tables.SupersededFolder(folder=folder, created_at=at))
            session.flush()


def superseded_folders(session: Session, *, seconds: float = 0.0) -> list[str]:
    """The folders that have waited at least this long for their deletion, oldest first."""
    table = tables.SupersededFolder
    waited = table.created_at <= now(session) - seconds
    return list(session.scalars(select(table.folder).where(waited).order_by(table.created_at, table.folder)))


def forget_superseded(session: Session, folder: str) -> None:
    session.execute(delete(tables.SupersededFolder).where(tables.SupersededFolder.folder == folder))
