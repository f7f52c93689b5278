"""What the engine of a running Tunery says of itself."""

import asyncio

import httpx2
from pydantic import TypeAdapter

from cluster.contracts.generation import EngineStats
from tests.e2e.server import Tunery

_STATS = TypeAdapter(list[EngineStats])


class EngineWatch:
    """Asks the replica directly, as the service would."""

    def __init__(self, tunery: Tunery) -> None:
        api = tunery.find("service.api")
        assert api is not None, "the API does not run"
        self._url = f"{api.environ()['TUNERY_SERVING_URL']}/engine/stats"
        token = (tunery.folder / "cluster.token").read_text().strip()
        self._headers = {"authorization": f"Bearer {token}"}

    async def choices(self) -> int:
        """That run or wait at the engine."""
        async with httpx2.AsyncClient(trust_env=False, headers=self._headers, timeout=10) as http:
            answer = await http.get(self._url)
        return sum(one.running + one.waiting for one in _STATS.validate_json(answer.content))

    async def wait_idle(self, seconds: float) -> bool:
        """Whether no choice holds a slot within that time; asked at least once."""
        try:
            async with asyncio.timeout(seconds):
                while await self.choices():
                    await asyncio.sleep(0.1)  # the engine can only be asked
        except TimeoutError:
            return False
        return True
