import asyncio
import threading
from collections.abc import Callable

import pytest

from cluster.contracts.errors import Unavailable
from cluster.serving.fairness.fair_thread import FairThread

pytestmark = pytest.mark.anyio


class _Work:
    """Records the served tenants; the first one waits for the gate."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.done: list[str] = []

    def of(self, tenant: str) -> Callable[[], None]:
        def work() -> None:
            assert self.gate.wait(300)
            self.done.append(tenant)

        return work


async def test_a_tenant_beside_a_flood_is_next() -> None:
    thread, work = FairThread("test"), _Work()
    runs = [asyncio.create_task(thread.run(tenant, work.of(tenant))) for tenant in "aaaaabbc"]
    await asyncio.sleep(0)
    work.gate.set()
    await asyncio.gather(*runs)
    thread.close()
    assert "".join(work.done[:3]) == "abc"
    assert "".join(work.done[3:5]) in {"ab", "ba"}
    assert "".join(work.done[5:]) == "aaa"


async def test_running_work_ends_and_waiting_work_fails_on_close() -> None:
    thread, work = FairThread("test"), _Work()
    runs = [asyncio.create_task(thread.run("a", work.of("a"))) for _ in range(2)]
    await asyncio.sleep(0)
    thread.close()
    work.gate.set()
    await runs[0]
    with pytest.raises(Unavailable, match="closed"):
        await runs[1]
    assert work.done == ["a"]
