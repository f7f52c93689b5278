"""Limits per minute over several API processes, on both databases."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy.orm import Session

from cluster.contracts.errors import Unavailable
from service.api.inference.rate_limits import Admission, RateLimiter
from service.db.database import Database
from service.db.limits.limits import Limits
from service.db.limits.names import UNLIMITED, Defaults
from service.db.organization.api_keys import ApiKeys, Principal
from tests.api import add_project
from tests.databases import on_both_databases

pytestmark = [pytest.mark.anyio, on_both_databases]


class Counted(Database):
    """Counts its write transactions."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.writes = 0
        self.is_away = False
        self.meanwhile: Callable[[], None] = lambda: None
        """Called in every write."""

    @contextmanager
    def write(self, *, frees_space: bool = False) -> Iterator[Session]:
        if self.is_away:
            raise Unavailable("The database does not answer.")
        self.writes += 1
        with super().write(frees_space=frees_space) as session:
            self.meanwhile()
            yield session


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def counted(database_url: str) -> Iterator[Counted]:
    database = Counted(database_url)
    yield database
    database.close()


@pytest.fixture
def caller(counted: Counted) -> Principal:
    key = add_project(counted).key
    with counted.read() as session:
        return ApiKeys(session).authenticate(key)


def limiter(database: Database, defaults: Defaults) -> tuple[RateLimiter, Clock]:
    clock = Clock()
    return RateLimiter(database, defaults, clock=clock), clock


async def admitted(limiter: RateLimiter, caller: Principal, num_requests: int, tokens: int = 1) -> int:
    answers = await asyncio.gather(*(limiter.admit(caller, "base-1", tokens) for _ in range(num_requests)))
    return sum(answer.refusal is None for answer in answers)


async def test_without_limits_nothing_is_counted_or_written(counted: Counted, caller: Principal) -> None:
    free, _ = limiter(counted, {})
    writes = counted.writes
    admission = await free.admit(caller, "base-1", 10**9)
    assert (admission.refusal, admission.headers, counted.writes) == (None, {}, writes)


async def test_a_flood_gets_the_limit_and_writes_a_few_times_only(
    counted: Counted, caller: Principal
) -> None:
    limited, _ = limiter(counted, {"requests_per_minute": 600})
    writes = counted.writes
    # The database's clock goes on, so that a slow test sees a part of the limit refill.
    num_admitted = await admitted(limited, caller, 2000)
    assert 600 <= num_admitted <= 1200
    assert counted.writes - writes <= num_admitted / 10 + 2
    writes = counted.writes
    assert await admitted(limited, caller, 500) <= 10
    assert counted.writes - writes <= 2, "this process knows that the bucket is empty"


async def test_several_processes_share_one_limit(counted: Counted, caller: Principal) -> None:
    processes = [limiter(counted, {"requests_per_minute": 120})[0] for _ in range(3)]
    counts = await asyncio.gather(*(admitted(one, caller, 100) for one in processes))
    assert 118 <= sum(counts) <= 140


async def test_what_a_process_does_not_use_goes_back(counted: Counted, caller: Principal) -> None:
    one, two = (limiter(counted, {"requests_per_minute": 6000})[0] for _ in range(2))
    async with one.returning():
        assert await admitted(one, caller, 1) == 1
    headers = (await two.admit(caller, "base-1", 1)).headers
    assert int(headers["x-ratelimit-remaining-requests"]) >= 5998


async def test_the_estimate_is_corrected_by_what_was_used(counted: Counted, caller: Principal) -> None:
    limited, _ = limiter(counted, {"tokens_per_minute": 1000})

    async def remaining() -> int:
        return int((await limited.admit(caller, "base-1", 0)).headers["x-ratelimit-remaining-tokens"])

    admission = await limited.admit(caller, "base-1", 900)
    assert 100 <= await remaining() <= 300
    admission.settle(900, 0)
    assert await remaining() == 1000
    admission = await limited.admit(caller, "base-1", 100)
    admission.settle(100, 2000)
    refused = (await limited.admit(caller, "base-1", 1)).refusal
    assert refused is not None
    assert 30 <= refused.retry_after_seconds <= 61


async def test_a_refused_request_takes_nothing(counted: Counted, caller: Principal) -> None:
    limited, _ = limiter(counted, {"requests_per_minute": 1000, "tokens_per_minute": 100})
    for _ in range(20):
        too_large = await limited.admit(caller, "base-1", 101)
        assert too_large.refusal is not None
        assert "Request too large" in too_large.refusal.message
    admission = await limited.admit(caller, "base-1", 100)
    assert admission.refusal is None
    assert int(admission.headers["x-ratelimit-remaining-requests"]) >= 998


async def test_limits_of_base_project_and_key(counted: Counted, caller: Principal) -> None:
    project_id, per_minute = caller.tenant.project_id, "requests_per_minute"
    with counted.write() as session:
        Limits(session).change(project_id, {per_minute: UNLIMITED})
        Limits(session).change(project_id, {per_minute: 5}, model="base-2")
        Limits(session).change(caller.key_id, {"tokens_per_minute": 50})
    limited, _ = limiter(counted, {per_minute: 1})
    free: Admission = await limited.admit(caller, "base-1", 10)
    assert set(free.headers) == {f"x-ratelimit-{what}-tokens" for what in ("limit", "remaining", "reset")}
    assert free.headers["x-ratelimit-limit-tokens"] == "50"
    other = await limited.admit(caller, "base-2", 10)
    assert other.headers["x-ratelimit-limit-requests"] == "5"
    assert int(other.headers["x-ratelimit-remaining-tokens"]) <= 35, "a key's limit is over all models"


async def test_a_changed_limit_applies_soon(counted: Counted, caller: Principal) -> None:
    limited, clock = limiter(counted, {})
    assert (await limited.admit(caller, "base-1", 1)).headers == {}
    with counted.write() as session:
        Limits(session).change(caller.tenant.project_id, {"requests_per_minute": 0})
    clock.time += 3
    refused = (await limited.admit(caller, "base-1", 1)).refusal
    assert refused is not None
    assert not refused.can_wait


async def test_without_a_database_nobody_is_admitted_and_nothing_is_lost(
    counted: Counted, caller: Principal
) -> None:
    limited, clock = limiter(counted, {"tokens_per_minute": 600})
    (await limited.admit(caller, "base-1", 300)).settle(300, 0)
    clock.time += 1.5
    counted.is_away = True
    with pytest.raises(Unavailable):
        await limited.admit(caller, "base-1", 1)
    counted.is_away = False
    headers = (await limited.admit(caller, "base-1", 0)).headers
    assert headers["x-ratelimit-remaining-tokens"] == "600"


async def test_a_lock_is_shared_while_it_is_awaited_and_not_kept(counted: Counted, caller: Principal) -> None:
    limited, _ = limiter(counted, {"requests_per_minute": 600})
    most: list[int] = []
    counted.meanwhile = lambda: most.append(len(limited._locks))
    assert await admitted(limited, caller, 20) == 20
    assert set(most) == {1}
    assert not limited._locks


async def test_a_caller_is_not_forgotten_while_its_buckets_are_looked_at(
    counted: Counted, caller: Principal
) -> None:
    limited, clock = limiter(counted, {"requests_per_minute": 60, "tokens_per_minute": 60})
    counted.meanwhile = limited._forget_idle_callers
    for _ in range(2):
        admission = await limited.admit(caller, "base-1", 1)
        assert admission.refusal is None
        assert admission.headers["x-ratelimit-remaining-requests"] in ("58", "59")
        clock.time += 3600
        limited._forget_idle_callers()
