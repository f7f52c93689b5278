"""Work that is worth doing only while its client waits for it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request

Result = TypeVar("Result")

_GONE = 499
"""nginx's status for a client that disconnected. It appears only in the log."""


async def while_connected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Runs `work` and returns its result. The body of the request must have been read. If the client
    disconnects first, cancels `work` and raises HTTPException."""
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_disconnect(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise HTTPException(_GONE, "The client disconnected.")
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
