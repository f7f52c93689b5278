"""Records in memory which keys are used, and writes that to the database periodically instead of per
request."""

import time
from collections.abc import Callable, Collection

from starlette.concurrency import run_in_threadpool

from service.db.database import Database
from service.db.organization.key_use import write_last_use

ACCURACY_SECONDS = 60.0
"""Keys in steady use are written at this interval."""


class KeyUse:
    """Belongs to one event loop."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._unwritten: set[str] = set()
        self._written: dict[str, float] = {}
        """When keys were last written, within the accuracy."""

    def note(self, key_id: str) -> None:
        written = self._written.get(key_id)
        if written is None or self._clock() - written >= ACCURACY_SECONDS:
            self._unwritten.add(key_id)

    async def flush(self) -> None:
        """Writes in one transaction. Raises Unavailable, and then keeps the keys for the next write."""
        key_ids, self._unwritten = self._unwritten, set()
        if not key_ids:
            return
        at = self._clock()
        try:
            await run_in_threadpool(self._write, key_ids)
        except BaseException:
            self._unwritten |= key_ids
            raise
        recent = {id: then for id, then in self._written.items() if at - then < ACCURACY_SECONDS}
        self._written = recent | dict.fromkeys(key_ids, at)

    def _write(self, key_ids: Collection[str]) -> None:
        with self._database.write() as session:
            write_last_use(session, key_ids)
