"""Uploads under way, so that nobody takes their bytes in storage for rubbish.

An upload is written down before its first byte is stored, and becomes a file in the transaction that takes
this note away again. Whoever wants to remove the bytes takes the note away first: then the upload fails.
"""

from sqlalchemy import delete
from sqlalchemy.orm import Session

from cluster.contracts.errors import Unavailable
from service.db import tables
from service.db.database import now

LONGEST_UPLOAD_SECONDS = 3600.0
"""From the first byte stored to the file's row. After that its process counts as dead."""


class Uploads:
    def __init__(self, session: Session) -> None:
        self._session = session

    def begin(self, file_id: str) -> None:
        self._session.add(tables.Upload(file_id=file_id, started_at=now(self._session)))
        self._session.flush()

    def finish(self, file_id: str) -> None:
        """In the transaction that writes the file's row. Raises Unavailable if the upload was given up."""
        if not self.abandon(file_id):
            raise Unavailable("The upload took too long and was given up. Send the file again.")

    def abandon(self, file_id: str) -> bool:
        """Its bytes are rubbish from now on. Returns False if they were already."""
        row = delete(tables.Upload).where(tables.Upload.file_id == file_id).returning(tables.Upload.file_id)
        return self._session.scalar(row) is not None

    def abandon_expired(self) -> None:
        """Abandons all that began too long ago."""
        latest = now(self._session) - LONGEST_UPLOAD_SECONDS
        self._session.execute(delete(tables.Upload).where(tables.Upload.started_at < latest))
