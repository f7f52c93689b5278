"""The statistics that the engine of a running Tunery reports."""

import asyncio

import httpx2
from pydantic import TypeAdapter

from cluster.contracts.generation import EngineStats
from tests.e2e.server import Tunery

_STATS = TypeAdapter(list[EngineStats])


class EngineWatch:
    """Queries the replica directly, as the service would."""

    def __init__(self, tunery: Tunery) -> None:
        api = tunery.find("service.api")
        assert api is not None, "the API is not running"
        self._url = f"{api.environ()['TUNERY_SERVING_URL']}/engine/stats"
        token = (tunery.folder / "cluster.token").read_text().strip()
        self._headers = {"authorization": f"Bearer {token}"}

    async def choices(self) -> int:
        """Number of choices that run or wait in the engine."""
        async with httpx2.AsyncClient(trust_env=False, headers=self._headers, timeout=10) as http:
            response = await http.get(self._url)
        return sum(stats.running + stats.waiting for stats in _STATS.validate_json(response.content))

    async def wait_idle(self, seconds: float) -> bool:
        """Whether all choices leave the engine within `seconds`. Checks at least once."""
        try:
            async with asyncio.timeout(seconds):
                while await self.choices():
                    await asyncio.sleep(0.1)  # the engine sends no notification
        except TimeoutError:
            return False
        return True
