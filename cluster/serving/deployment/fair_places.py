"""Limits how much work of one kind runs concurrently, and how much of it one project may have."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from cluster.contracts.errors import Overloaded


class FairPlaces:
    """Runs at most `at_once` pieces of work, and at most `at_once_per_project` per project. A project's next
    piece joins the common queue when an earlier one has ended, so projects take turns. Used from one event
    loop."""

    def __init__(self, at_once: int, *, most_per_project: int | None, at_once_per_project: int = 1) -> None:
        """`most_per_project` counts waiting pieces and running ones. None is no limit."""
        self._most, self._at_once_per_project = most_per_project, at_once_per_project
        self._all = asyncio.Semaphore(at_once)
        self._projects: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._counts: Counter[str] = Counter()

    @asynccontextmanager
    async def place(self, project_id: str) -> AsyncIterator[None]:
        """Waits for a place, and holds it until the block ends. Raises Overloaded if the project has too much
        waiting."""
        if self._most is not None and self._counts[project_id] >= self._most:
            raise Overloaded(
                f"{self._most} files are being read for this project, the most allowed at once. Wait until "
                "an earlier request has been answered.",
                retry_after_seconds=10,
            )
        own = self._projects.setdefault(project_id, asyncio.Semaphore(self._at_once_per_project))
        self._counts[project_id] += 1
        try:
            async with own, self._all:
                yield
        finally:
            self._counts[project_id] -= 1
            if not self._counts[project_id]:
                del self._counts[project_id]
