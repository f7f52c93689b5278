"""A thread for the work of all tenants, at which they take turns."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from weakref import WeakValueDictionary

from cluster.contracts.errors import Unavailable

T = TypeVar("T")


class FairThread:
    """Does one thing at a time, and of each tenant that waits one in turn, so that nobody waits behind all
    that another one has sent. Used from one event loop."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._tenant_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """By tenant, while it has something to be done."""
        self._is_closed = False

    async def run(self, tenant: str, work: Callable[[], T]) -> T:
        """What `work` returns or raises. Raises Unavailable once closed."""
        async with self._tenant_locks.setdefault(tenant, asyncio.Lock()):
            if self._is_closed:
                raise Unavailable("The engine was closed.")
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """Waits for nothing."""
        self._is_closed = True
        self._thread.shutdown(wait=False)
