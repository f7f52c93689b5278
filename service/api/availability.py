"""Tracks which base models are unavailable, what shape the others have, and which contexts are served, as
reported by the cluster, which can see their folders."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress

from cluster.contracts.bases import BasesAnswer, BaseSpec, FolderSource
from cluster.contracts.errors import MODEL_NOT_AVAILABLE, TuneryError, Unavailable
from cluster.contracts.model_shape import ModelShape

log = logging.getLogger(__name__)

AskForBases = Callable[[list[BaseSpec]], Awaitable[BasesAnswer]]
"""Raises a TuneryError if the cluster does not answer."""

_SECONDS = 60.0
"""Interval between two checks."""
_SOON_SECONDS = 5.0
"""Interval while a base is unavailable or the cluster does not answer: both can be fixed at any moment."""


class Availability:
    """The result of the last check. Until the first check, every base counts as available."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}
        self._shapes: dict[str, ModelShape] = {}
        self._contexts: dict[str, int] = {}

    def shape(self, alias: str) -> ModelShape | None:
        """Returns the base's shape, or None if it is not known."""
        return self._shapes.get(alias)

    def context(self, alias: str) -> int | None:
        """Returns how many tokens of the base's context fit into serving's memory, or None if all of it
        fits."""
        return self._contexts.get(alias)

    def reason(self, alias: str) -> str | None:
        """Returns why the base is unavailable, or None if it is available."""
        return self._reasons.get(alias)

    @property
    def num_unavailable(self) -> int:
        return len(self._reasons)

    def check(self, alias: str) -> None:
        """Raises Unavailable (`model_not_available`) with the reason if the base is unavailable."""
        if reason := self._reasons.get(alias):
            raise Unavailable(reason, code=MODEL_NOT_AVAILABLE, retry_after_seconds=30.0)

    async def refresh(self, ask: AskForBases, catalogue: Mapping[str, BaseSpec]) -> None:
        """Checks now. Raises a TuneryError and keeps the previous result if the cluster does not answer."""
        answer = await ask(list(catalogue.values()))
        found = answer.unavailable
        for alias in found.keys() - self._reasons.keys():
            source = catalogue[alias].source
            # Only the operator may see the path.
            where = f" Its folder is {source.path}." if isinstance(source, FolderSource) else ""
            log.warning("%s%s", found[alias], where)
        for alias in self._reasons.keys() - found.keys():
            log.info("The base model '%s' is available again.", alias)
        self._reasons, self._shapes, self._contexts = found, answer.shapes, answer.contexts

    @asynccontextmanager
    async def watching(self, ask: AskForBases, catalogue: Mapping[str, BaseSpec]) -> AsyncIterator[None]:
        """Checks in the background, at once and then periodically, while the block runs."""
        watching = asyncio.create_task(self._watch(ask, catalogue))
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def _watch(self, ask: AskForBases, catalogue: Mapping[str, BaseSpec]) -> None:
        while True:
            pause = _SECONDS
            try:
                await self.refresh(ask, catalogue)
            except TuneryError as error:
                log.debug("The cluster does not report its base models: %s", error.message)
                pause = _SOON_SECONDS
            except Exception:
                log.exception("cannot find out which base models the cluster has")
            await asyncio.sleep(_SOON_SECONDS if self._reasons else pause)
