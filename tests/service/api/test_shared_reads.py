"""Many callers that read the same thing at once."""

import asyncio
import threading

import pytest

from service.api.shared_reads import SharedReads

pytestmark = pytest.mark.anyio


class Slow:
    """A read that counts its calls, and blocks until it is released."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.count = 0

    def __call__(self) -> int:
        self.count += 1
        number = self.count
        self.begun.release()
        assert self.gate.acquire(timeout=300)
        return number


async def _begun(slow: Slow) -> None:
    assert await asyncio.to_thread(slow.begun.acquire, timeout=300)


async def _ask(shared_reads: SharedReads[int], slow: Slow, count: int) -> list[asyncio.Task[int]]:
    asking = [asyncio.create_task(shared_reads.get("key", slow)) for _ in range(count)]
    await asyncio.sleep(0)  # each has called
    return asking


async def test_callers_during_a_read_share_the_next_one_and_never_get_an_older_result() -> None:
    shared_reads, slow = SharedReads[int](), Slow()
    first = await _ask(shared_reads, slow, 1)
    await _begun(slow)
    second = await _ask(shared_reads, slow, 50)
    slow.gate.release()
    await _begun(slow)
    third = await _ask(shared_reads, slow, 50)
    slow.gate.release(2)
    answers = [set(await asyncio.gather(*asking)) for asking in (first, second, third)]
    assert answers == [{1}, {2}, {3}]
    slow.gate.release()
    assert await shared_reads.get("key", slow) == 4


async def test_a_cancelled_caller_affects_no_other_and_an_error_reaches_all() -> None:
    def fails() -> int:
        raise ValueError("no")

    shared_reads, slow = SharedReads[int](), Slow()
    gone, stays = [*await _ask(shared_reads, slow, 1), *await _ask(shared_reads, slow, 1)]
    await _begun(slow)
    gone.cancel()
    slow.gate.release(2)
    assert await stays == 2
    outcomes = await asyncio.gather(
        *(shared_reads.get("other", fails) for _ in range(3)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [ValueError] * 3
    with pytest.raises(ValueError, match="no"):
        await shared_reads.get("other", fails)
