"""Counts usage by API key in memory, and writes it to the database every few seconds.

A process that is killed loses what it has counted since the last write. One that shuts down loses nothing."""

import time
import uuid
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool

from service.db.database import Database
from service.db.organization.api_keys import Principal
from service.db.usage.usage import HOUR, MINUTE, Operation, UsageCounts, UsageKey, write_totals


class UsageMeter:
    """Belongs to one event loop."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._writer = uuid.uuid4().hex
        self._totals: dict[UsageKey, UsageCounts] = {}
        """Totals since this process started, at least for this hour and the previous one. Each write replaces
        the previous one."""
        self._unwritten: set[UsageKey] = set()

    def add(self, caller: Principal, model: str, operation: Operation, used: UsageCounts) -> None:
        at = int(self._clock())
        for seconds in (MINUTE, HOUR):
            start = at - at % seconds
            key = UsageKey(caller.tenant, caller.key_id, model, operation, start, seconds)
            self._totals[key] = self._totals.get(key, UsageCounts()) + used
            self._unwritten.add(key)

    async def flush(self) -> None:
        """Writes new counts in one transaction. Raises Unavailable, and then keeps them for the next
        write."""
        keys, self._unwritten = self._unwritten, set()
        if not keys:
            return
        try:
            await run_in_threadpool(self._write, {key: self._totals[key] for key in keys})
        except BaseException:
            self._unwritten |= keys
            raise
        self._forget_past()

    def _write(self, totals: dict[UsageKey, UsageCounts]) -> None:
        with self._database.write() as session:
            write_totals(session, self._writer, totals)

    def _forget_past(self) -> None:
        """Drops periods that ended more than an hour ago. They are not dropped earlier: if the clock were set
        back a little, a new total would replace the old one."""
        oldest = self._clock() - HOUR
        for key in list(self._totals):
            if key.start + key.seconds < oldest and key not in self._unwritten:
                del self._totals[key]
