"""Whether a request would be served now: each part is asked, none for longer than a moment.

Anyone may ask, so what was found is kept for a second: many who ask cost the parts no more than one."""

import asyncio
import math
import time
import uuid
from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool

from cluster.contracts.errors import TuneryError, Unavailable
from service.api.draining import Draining
from service.api.parts import Parts
from service.db.leases import Leases
from service.db.work import LEASE

PART_SECONDS = 6.0
KEPT_SECONDS = 1.0


class Readiness:
    def __init__(self, parts: Parts, draining: Draining) -> None:
        self._parts = parts
        self._draining = draining
        self._one_at_a_time = asyncio.Lock()
        self._found: dict[str, str] = {}
        self._found_at = -math.inf

    async def check(self) -> dict[str, str]:
        """By part, "ok" or what is wrong with it, in words that are safe to show; of a process that is
        ending, only that it is."""
        if self._draining.has_begun:
            return {"api": "draining: it was asked to end"}
        async with self._one_at_a_time:
            if time.monotonic() - self._found_at >= KEPT_SECONDS:
                self._found = await _check(self._parts)
                self._found_at = time.monotonic()
            return self._found


async def _check(parts: Parts) -> dict[str, str]:
    checks: dict[str, Callable[[], Awaitable[None]]] = {
        "database": lambda: run_in_threadpool(parts.database.ping),
        "storage": lambda: run_in_threadpool(_check_storage, parts),
        "serving": parts.engine.check_health,
        "scheduler": lambda: run_in_threadpool(_check_scheduler, parts),
    }
    found = await asyncio.gather(*(_told(check) for check in checks.values()))
    return dict(zip(checks, found, strict=True))


async def _told(check: Callable[[], Awaitable[None]]) -> str:
    try:
        async with asyncio.timeout(PART_SECONDS):
            await check()
    except TuneryError as error:
        return error.message
    except TimeoutError:
        return f"no answer within {PART_SECONDS:g} s"
    return "ok"


def _check_storage(parts: Parts) -> None:
    """Writes, reads and removes an object: a full disk or a read-only key shows only so."""
    key = f"health/{uuid.uuid4().hex}"
    parts.store.put(key, b"ready")
    try:
        if parts.store.get(key) != b"ready":
            raise Unavailable("storage gives back other bytes than were written")
    finally:
        parts.store.delete(key)


def _check_scheduler(parts: Parts) -> None:
    with parts.database.read() as session:
        if not Leases(session).is_held(LEASE):
            raise Unavailable("no scheduler is running")
