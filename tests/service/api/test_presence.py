"""The scheduler sees in the database whether runners can report."""

import asyncio

import pytest

from service.api.presence import renewing_presence
from service.api.state import AppState
from service.db.scheduler.leases import API, Leases
from tests.api import with_settings
from tests.databases import on_both_databases


@on_both_databases
@pytest.mark.anyio
async def test_the_lease_is_held_while_the_api_runs_and_ends_after_it(state: AppState) -> None:
    brief = with_settings(state, heartbeat_timeout_seconds=0.3)
    async with renewing_presence(brief):
        await _until(brief, is_held=True)
    await _until(brief, is_held=False)


async def _until(state: AppState, *, is_held: bool) -> None:
    async with asyncio.timeout(60):
        while _is_held(state) is not is_held:
            await asyncio.sleep(0.01)


def _is_held(state: AppState) -> bool:
    with state.database.read() as session:
        return Leases(session).is_held(API)
