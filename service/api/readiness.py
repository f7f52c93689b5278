"""Readiness: whether a request would be served now.

Each component is checked, with a time limit. The endpoint is public and a check writes to the database and to
storage, so its result is cached for a second."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Literal

import anyio.to_thread
from anyio import CapacityLimiter

from cluster.contracts.errors import TuneryError, Unavailable
from service.api.http.draining import Draining
from service.api.state import AppState
from service.db.scheduler.leases import READINESS, Leases
from service.db.scheduler.store import LEASE
from service.storage_check import check_storage

log = logging.getLogger(__name__)

Part = Literal["database", "storage", "serving", "scheduler"]

PART_SECONDS = 6.0
KEPT_SECONDS = 1.0
_THREADS = 6
"""Twice what one check needs: a check that hangs keeps its thread, and must not starve the next one."""


class Readiness:
    def __init__(self, state: AppState, draining: Draining) -> None:
        self._state = state
        self._draining = draining
        self._one_at_a_time = asyncio.Lock()
        self._threads = CapacityLimiter(_THREADS)
        self._found: dict[str, str] = {}
        self._found_at = -math.inf

    async def check(self) -> dict[str, str]:
        """Returns "ok" or a problem for each component, in words that are safe to show. While the process is
        shutting down, returns only that."""
        if self._draining.has_begun:
            return {"api": "draining: the process is shutting down"}
        async with self._one_at_a_time:
            if time.monotonic() - self._found_at >= KEPT_SECONDS:
                self._found = await self._check()
                self._found_at = time.monotonic()
            return self._found

    async def _check(self) -> dict[str, str]:
        checks: dict[Part, Callable[[], Awaitable[None]]] = {
            "database": lambda: self._in_thread(_check_database),
            "storage": lambda: self._in_thread(lambda state: check_storage(state.store)),
            "serving": self._state.engine.check_health,
            "scheduler": lambda: self._in_thread(_check_scheduler),
        }
        found = await asyncio.gather(*(_result_of(check) for check in checks.values()))
        return {str(part): result for part, result in zip(checks, found, strict=True)}

    async def _in_thread(self, check: Callable[[AppState], None]) -> None:
        await anyio.to_thread.run_sync(check, self._state, limiter=self._threads, abandon_on_cancel=True)


async def _result_of(check: Callable[[], Awaitable[None]]) -> str:
    try:
        async with asyncio.timeout(PART_SECONDS):
            await check()
    except TuneryError as error:
        return error.message
    except TimeoutError:
        return f"no answer within {PART_SECONDS:g} s"
    except Exception:
        log.exception("readiness check failed")
        return "the check failed; see the server's log"
    return "ok"


def _check_database(state: AppState) -> None:
    """Writes a row: only a write reveals a full disk or a read-only replica."""
    with state.database.write() as session:
        Leases(session).acquire(READINESS, "api", seconds=0)


def _check_scheduler(state: AppState) -> None:
    with state.database.read() as session:
        if not Leases(session).is_held(LEASE):
            raise Unavailable("no scheduler is running")
