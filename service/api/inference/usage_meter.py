"""Counts usage by API key in memory, and writes it to the database every few seconds.

A process that is killed loses what it has counted since the last write. One that shuts down loses nothing."""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta

from starlette.concurrency import run_in_threadpool

from service.db.api_keys import Principal
from service.db.database import Database
from service.db.usage import UsageCounts, UsageKey, write_totals

log = logging.getLogger(__name__)


class UsageMeter:
    """Belongs to one event loop."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._writer = uuid.uuid4().hex
        self._totals: dict[UsageKey, UsageCounts] = {}
        """Totals since this process started, for today and yesterday at least. Each write replaces the
        previous one."""
        self._unwritten: set[UsageKey] = set()
        self._is_closing = asyncio.Event()

    def add(self, caller: Principal, model: str, used: UsageCounts) -> None:
        key = UsageKey(caller.tenant, caller.key_id, model, self._today())
        self._totals[key] = self._totals.get(key, UsageCounts()) + used
        self._unwritten.add(key)

    @asynccontextmanager
    async def writing(self, every_seconds: float) -> AsyncIterator[None]:
        """Writes in the background while the block runs, and once more at its end."""
        task = asyncio.create_task(self._write_until_closed(every_seconds))
        try:
            yield
        finally:
            self._is_closing.set()
            await task
            await self._flush_or_log()

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
        self._forget_past_days()

    async def _write_until_closed(self, every_seconds: float) -> None:
        while not self._is_closing.is_set():
            try:
                async with asyncio.timeout(every_seconds):
                    await self._is_closing.wait()
            except TimeoutError:
                await self._flush_or_log()

    async def _flush_or_log(self) -> None:
        try:
            await self.flush()
        except Exception:
            # Requests continue to be served and counted, and the next round tries again.
            log.exception("cannot write usage")

    def _write(self, totals: dict[UsageKey, UsageCounts]) -> None:
        with self._database.write() as session:
            write_totals(session, self._writer, totals)

    def _forget_past_days(self) -> None:
        """Drops past days, except yesterday: if the clock were set back a little, a new total would replace
        the old one."""
        oldest = self._today() - timedelta(days=1)
        for key in [key for key in self._totals if key.day < oldest and key not in self._unwritten]:
            del self._totals[key]

    def _today(self) -> date:
        return datetime.fromtimestamp(self._clock(), UTC).date()
