"""Lets the scheduler know that runners can report.

Without it, an outage of the API alone would look as if all runners had fallen silent at once."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio.to_thread

from service.api.state import AppState
from service.db.scheduler.leases import API, Leases

log = logging.getLogger(__name__)
_HOLDER = "api"
"""One name for all processes, so that each renews the lease for the others."""


@asynccontextmanager
async def renewing_presence(state: AppState) -> AsyncIterator[None]:
    """Renews the API's lease while the block runs, a few times in the time that runners may be silent."""
    task = asyncio.create_task(_renew(state, state.settings.heartbeat_timeout_seconds))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _renew(state: AppState, lease_seconds: float) -> None:
    def renew() -> None:
        with state.database.write() as session:
            Leases(session).acquire(API, _HOLDER, seconds=lease_seconds)

    while True:
        await asyncio.sleep(lease_seconds / 3)
        try:
            # Runs where reports are handled, so that the lease expires if they are not.
            await anyio.to_thread.run_sync(renew, limiter=state.sync_threads)
        except Exception:
            log.exception("cannot write that the API is up")
