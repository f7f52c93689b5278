"""Folders in storage of which something has been superseded, from the transaction that supersedes it until
its objects are deleted. What is written down here needs no sweep, which finds it only after a day."""

from collections.abc import Iterable

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from service.db import tables


def note_superseded(session: Session, manifest_keys: Iterable[str], *, at: float) -> None:
    """Remembers the folders of these manifests."""
    for key in manifest_keys:
        folder = key.rpartition("/")[0] + "/"
        if session.get(tables.SupersededFolder, folder) is None:
            session.add(tables.SupersededFolder(folder=folder, created_at=at))
            session.flush()


def superseded_folders(session: Session, *, limit: int = 100) -> list[str]:
    """The folders that wait for their deletion, the oldest first."""
    table = tables.SupersededFolder
    return list(session.scalars(select(table.folder).order_by(table.created_at, table.folder).limit(limit)))


def forget_superseded(session: Session, folder: str) -> None:
    session.execute(delete(tables.SupersededFolder).where(tables.SupersededFolder.folder == folder))
