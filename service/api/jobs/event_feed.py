"""Streams the events of jobs to many readers.

One task polls the database, however many streams there are. A stream reads only when its job has new
events."""

import asyncio
import logging
import math
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from cluster.contracts.errors import AuthenticationFailed, Overloaded, PermissionDenied, TuneryError
from service.api.http.draining import Draining
from service.api.inference.sse import frame
from service.api.jobs.public_jobs import public_event
from service.api.shared_reads import SharedReads
from service.db.database import Database
from service.db.jobs.events import JobEvents, LogPosition, log_positions
from service.db.tenancy import Tenant

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""Interval of polling for events that other processes wrote."""
KEEP_ALIVE_SECONDS = 15.0
ACCESS_SECONDS = 30.0
"""Minimum interval between two checks of whether the reader of a stream may still read."""
CheckAccess = Callable[[], Awaitable[None]]
"""Raises AuthenticationFailed or PermissionDenied."""
KEEP_ALIVE = b": keep-alive\n\n"
_UNSEEN = LogPosition(0, is_over=False)
_THREADS = 2
"""Many streams that start at once must not occupy the threads of other requests."""


class _Batch(NamedTuple):
    frames: list[tuple[int, bytes]]
    """Each frame with its event's sequence number."""
    position: LogPosition


@dataclass
class _Followed:
    """The last known state of a followed job."""

    position: LogPosition = _UNSEEN
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the position moves, and then replaced by a new event."""
    num_readers: int = 0

    def see(self, position: LogPosition) -> None:
        if position > self.position:
            self.position = position
            self.notify()

    def notify(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class _Access:
    """Whether a reader, whose key may be revoked while it reads, may still do so."""

    def __init__(self, check: CheckAccess | None) -> None:
        self._check = check
        self._checked_at = time.monotonic()

    async def has_ended(self) -> bool:
        if self._check is None or time.monotonic() - self._checked_at < ACCESS_SECONDS:
            return False
        self._checked_at = time.monotonic()
        try:
            await self._check()
        except (AuthenticationFailed, PermissionDenied):
            return True
        except TuneryError:
            return False  # the database is down, so there are no new events either
        return False


class EventFeed:
    """Belongs to one event loop."""

    def __init__(
        self, database: Database, draining: Draining, *, max_streams_per_project: int = sys.maxsize
    ) -> None:
        self._database = database
        self._draining = draining
        self._max_streams = max_streams_per_project
        self._num_streams: Counter[Tenant] = Counter()
        self._followed: dict[str, _Followed] = {}
        self._written: set[str] = set()
        self._is_due = asyncio.Event()
        self._is_failing = False
        self._shared_reads: SharedReads[_Batch] = SharedReads(threads=_THREADS)

    @asynccontextmanager
    async def polling(self) -> AsyncIterator[None]:
        """Notifies streams of new events while the block runs; immediately, if this process wrote them."""
        loop = asyncio.get_running_loop()

        def wake(job_ids: Collection[str]) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody follows any more
                loop.call_soon_threadsafe(self._wake, job_ids)

        task = asyncio.create_task(self._poll())
        try:
            with self._database.on_job_change(wake):
                yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def follow(
        self, tenant: Tenant, job_id: str, last_seq: int, *, check_access: CheckAccess | None = None
    ) -> AsyncGenerator[bytes]:
        """Returns frames of the events after `last_seq`, until the job has ended and all its events are sent,
        the process shuts down, the database fails, or `check_access`, which is called periodically, raises
        AuthenticationFailed or PermissionDenied. The reader may reconnect with the last sequence number that
        it saw. Raises NotFound, and Overloaded if the project follows too many jobs already."""
        first = await self._read(tenant, job_id, last_seq)
        if self._num_streams[tenant] >= self._max_streams:
            raise Overloaded(
                f"Your project follows events in {self._max_streams} streams, the most that one project may "
                "have open at once. Close some, or read the events page by page, without `stream`.",
                retry_after_seconds=KEEP_ALIVE_SECONDS,
            )
        frames = self._frames(tenant, job_id, last_seq, first, _Access(check_access))
        await anext(frames)
        return frames

    async def _frames(
        self, tenant: Tenant, job_id: str, last_seq: int, batch: _Batch, access: "_Access"
    ) -> AsyncGenerator[bytes]:
        """The first item is no frame. It comes at once, and from then on the stream counts: of streams that
        are asked for at the same time, none has been read from yet."""
        with self._following(tenant, job_id) as job:
            yield b""
            while True:
                for seq, text in batch.frames:
                    last_seq = seq
                    yield text
                if not batch.frames:
                    last_seq = max(last_seq, batch.position.next_seq - 1)
                job.see(batch.position)
                while last_seq + 1 >= job.position.next_seq and not job.position.is_over:
                    if self._draining.has_begun:
                        return
                    if not await _is_set(job.changed, KEEP_ALIVE_SECONDS):
                        if await access.has_ended():
                            return
                        yield KEEP_ALIVE
                if last_seq + 1 >= job.position.next_seq or self._draining.has_begun:
                    return
                if await access.has_ended():
                    return
                try:
                    batch = await self._read(tenant, job_id, last_seq)
                except TuneryError:
                    return

    async def _read(self, tenant: Tenant, job_id: str, last_seq: int) -> _Batch:
        """Reads once for all streams that follow the same job from the same position."""

        def read() -> _Batch:
            with self._database.read() as session:
                log = JobEvents(session, tenant)
                position = log.position(job_id)
                events = log.since(job_id, seq=last_seq)
            frames = [
                (event.seq, frame(public_event(event).model_dump_json(), event_id=str(event.seq)))
                for event in events
            ]
            return _Batch(frames, position)

        return await self._shared_reads.get((tenant, job_id, last_seq), read)

    @contextmanager
    def _following(self, tenant: Tenant, job_id: str) -> Iterator[_Followed]:
        job = self._followed.setdefault(job_id, _Followed())
        job.num_readers += 1
        self._num_streams[tenant] += 1
        try:
            yield job
        finally:
            self._num_streams[tenant] -= 1
            if not self._num_streams[tenant]:
                del self._num_streams[tenant]
            job.num_readers -= 1
            if not job.num_readers:
                del self._followed[job_id]

    def _wake(self, job_ids: Collection[str]) -> None:
        written = self._followed.keys() & set(job_ids)
        if written:
            self._written |= written
            self._is_due.set()

    async def _poll(self) -> None:
        polled_at = -math.inf
        while True:
            left = polled_at + POLL_SECONDS - time.monotonic()
            if await _is_set(self._is_due, max(0.0, left)):
                job_ids = self._written
            else:
                polled_at, job_ids = time.monotonic(), set(self._followed)
            self._written = set()
            self._is_due.clear()
            if self._draining.has_begun:
                for job in self._followed.values():
                    job.notify()
            elif job_ids:
                await self._refresh(job_ids)

    async def _refresh(self, job_ids: Collection[str]) -> None:
        def read() -> dict[str, LogPosition]:
            with self._database.read() as session:
                return log_positions(session, job_ids)

        try:
            found = await run_in_threadpool(read)
        except Exception:
            # Streams continue once the database is back. Each outage is logged once.
            if not self._is_failing:
                log.exception("cannot read the state of followed jobs")
            self._is_failing = True
            return
        self._is_failing = False
        for job_id, position in found.items():
            if job_id in self._followed:
                self._followed[job_id].see(position)


async def _is_set(event: asyncio.Event, seconds: float) -> bool:
    """Waits for the event at most this long. Returns whether it was set."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def _feed(request: Request) -> EventFeed:
    feed: EventFeed = request.app.state.feed
    return feed


UsesEventFeed = Annotated[EventFeed, Depends(_feed)]
