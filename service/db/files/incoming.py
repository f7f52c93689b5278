"""Files whose bytes are being stored, so that a sweep does not treat them as garbage.

The row of an incoming file exists from before its first byte is stored until the transaction that writes the
file's own row. Before a sweep deletes the bytes, it deletes this row, which makes the request fail.
"""

from sqlalchemy import delete
from sqlalchemy.orm import Session

from cluster.contracts.errors import Unavailable
from service.db import tables
from service.db.database import now

LONGEST_SECONDS = 3600.0
"""Longest time from the first stored byte to the file's row. After that, the process counts as dead."""


class IncomingFiles:
    def __init__(self, session: Session) -> None:
        self._session = session

    def begin(self, file_id: str) -> None:
        self._session.add(tables.IncomingFile(file_id=file_id, started_at=now(self._session)))
        self._session.flush()

    def finish(self, file_id: str) -> None:
        """Call it in the transaction that writes the file's row. Raises Unavailable if the file was
        abandoned."""
        if not self.abandon(file_id):
            raise Unavailable("The upload took too long and was abandoned. Send the file again.")

    def abandon(self, file_id: str) -> bool:
        """Makes its bytes garbage. Returns False if they already were."""
        table = tables.IncomingFile
        row = delete(table).where(table.file_id == file_id).returning(table.file_id)
        return self._session.scalar(row) is not None

    def abandon_expired(self) -> None:
        """Abandons all files that have exceeded LONGEST_SECONDS."""
        latest = now(self._session) - LONGEST_SECONDS
        self._session.execute(delete(tables.IncomingFile).where(tables.IncomingFile.started_at < latest))
