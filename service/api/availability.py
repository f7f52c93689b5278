"""Which base models cannot be used now: the cluster knows, because their folders are there."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress

from cluster.contracts.bases import BaseSpec, FolderSource
from cluster.contracts.errors import MODEL_NOT_AVAILABLE, TuneryError, Unavailable

log = logging.getLogger(__name__)

Look = Callable[[list[BaseSpec]], Awaitable[dict[str, str]]]
"""Why not, by alias, of those of the bases that the cluster cannot use. Raises a TuneryError if it does not
say."""

_SECONDS = 60.0
"""Between two looks."""
_SOON_SECONDS = 5.0
"""The same while something is amiss, which may be mended at any moment."""


class Availability:
    """What was found at the last look. Until the first one everything counts as available."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    def reason(self, alias: str) -> str | None:
        """Why the base cannot be used; None if it can."""
        return self._reasons.get(alias)

    def check(self, alias: str) -> None:
        """Raises Unavailable (`model_not_available`) with the reason."""
        if reason := self._reasons.get(alias):
            raise Unavailable(reason, code=MODEL_NOT_AVAILABLE, retry_after_seconds=30.0)

    async def look(self, look: Look, catalogue: Mapping[str, BaseSpec]) -> None:
        """Asks now. Raises a TuneryError, and keeps what was known, if the cluster does not say."""
        found = await look(list(catalogue.values()))
        for alias in found.keys() - self._reasons.keys():
            source = catalogue[alias].source
            # The path is for the operator alone.
            where = f" Its folder is {source.path}." if isinstance(source, FolderSource) else ""
            log.warning("%s%s", found[alias], where)
        for alias in self._reasons.keys() - found.keys():
            log.info("The base model '%s' is available again.", alias)
        self._reasons = found

    @asynccontextmanager
    async def watching(self, look: Look, catalogue: Mapping[str, BaseSpec]) -> AsyncIterator[None]:
        """Looks at once and again and again, as long as the block runs."""
        watching = asyncio.create_task(self._watch(look, catalogue))
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def _watch(self, look: Look, catalogue: Mapping[str, BaseSpec]) -> None:
        while True:
            pause = _SECONDS
            try:
                await self.look(look, catalogue)
            except TuneryError as error:
                log.debug("The cluster does not say which base models it has: %s", error.message)
                pause = _SOON_SECONDS
            except Exception:
                log.exception("Cannot find out which base models the cluster has.")
            await asyncio.sleep(_SOON_SECONDS if self._reasons else pause)
