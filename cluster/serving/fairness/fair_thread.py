"""A worker thread that tenants share fairly."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from weakref import WeakValueDictionary

from cluster.contracts.errors import Unavailable

T = TypeVar("T")


class FairThread:
    """Runs one piece of work at a time, round-robin over the tenants that have some, so that no tenant waits
    behind the whole queue of another. Used from one event loop."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._tenant_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Locks by tenant, while it has work to do."""
        self._is_closed = False

    async def run(self, tenant: str, work: Callable[[], T]) -> T:
        """Returns or raises what `work` does. Raises Unavailable once closed."""
        async with self._tenant_locks.setdefault(tenant, asyncio.Lock()):
            if self._is_closed:
                raise Unavailable("The engine was closed.")
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """Returns without waiting for running work."""
        self._is_closed = True
        self._thread.shutdown(wait=False)
