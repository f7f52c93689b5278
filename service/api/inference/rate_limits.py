"""Limits on requests and tokens per minute, over all API processes.

Each limit is a bucket in the database (`service.db.limits.rate_buckets`). This process takes from it the
amount that refills in a second, spends that without a query, and looks at the bucket again after a second. So
it writes about once a second and bucket at most, and 60 times to empty a full one, however many requests
arrive. Admission never overdraws a bucket; up to a sixtieth of the limit per process may be unavailable to
the other processes for a second.

Tokens are estimated when a request is admitted and corrected when it ends, so that a bucket can fall below
zero when answers were longer than expected. The next requests then wait for it to refill."""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from weakref import WeakValueDictionary

from starlette.concurrency import run_in_threadpool

from cluster.contracts.errors import RateLimited
from service.api.inference.rate_standing import Rate, Standing, headers_of, refusal_of
from service.api.shared_reads import SharedReads
from service.db.database import Database
from service.db.limits.limits import Limits, rate_of_project
from service.db.limits.names import RATES, UNLIMITED, Defaults, RateName
from service.db.limits.rate_buckets import Claim, Grant, take
from service.db.organization.api_keys import Principal

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
"""How long a grant may be spent, and a refusal repeated, before looking at the bucket again."""
_LIMITS_SECONDS = 2.0
"""How long a caller's limits are used before they are read again."""
_RETURN_SECONDS = 5.0
"""Time between two rounds of returning unused amounts."""
_FORGOTTEN_SECONDS = 600.0
"""How long a caller that sends no requests is remembered. Its answers may take that long."""
_THREADS = 2


@dataclass(slots=True)
class _Lease:
    """The amount that this process holds of a bucket."""

    limit: int
    held: float = 0.0
    """Negative if more was used than expected."""
    level: float = 0.0
    """What was left in the bucket at the last look."""
    looked_at: float = -math.inf
    is_looking: bool = False
    """Whether a look is in progress. Requests that arrive meanwhile wait for it."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The decision about one HTTP request."""

    headers: Mapping[str, str]
    """`x-ratelimit-*`: the caller's use of its limits. Empty without limits."""
    refusal: RateLimited | None = None
    _leases: Sequence[_Lease] = ()
    """The leases on tokens."""

    def settle(self, estimated_tokens: int, used_tokens: int) -> None:
        """Corrects the estimate for a part of the request by the tokens that it has used."""
        for lease in self._leases:
            lease.held += estimated_tokens - used_tokens


_Owners = tuple[str, str]
"""A project's id and a key's id."""


@dataclass(frozen=True, slots=True)
class _CallerLimits:
    read_at: float
    project: dict[tuple[str, RateName], int]
    key: dict[tuple[str, RateName], int]


class RateLimiter:
    """Belongs to one event loop."""

    def __init__(
        self, database: Database, defaults: Defaults, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._defaults = defaults
        self._clock = clock
        self._leases: dict[str, _Lease] = {}
        self._limits: dict[_Owners, _CallerLimits] = {}
        self._reads: SharedReads[_CallerLimits] = SharedReads(threads=_THREADS)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Locks by project. A project's requests look at their buckets one after the other, so that one look
        serves many requests. A lock exists while a request holds or awaits it."""

    async def admit(self, caller: Principal, base: str, tokens: int) -> Admission:
        """Decides about a request to a model of this base, which is expected to use this many tokens, and
        counts it unless it is refused. Raises Unavailable if the database does not answer."""
        rates = await self._rates(caller, base)
        if not rates:
            return Admission({})
        costs = [tokens if rate.unit == "tokens" else 1 for rate in rates]
        is_admitted = self._decide(rates, costs)
        if is_admitted is None:
            async with self._locks.setdefault(caller.tenant.project_id, asyncio.Lock()):
                is_admitted = self._decide(rates, costs)
                if is_admitted is None:
                    is_admitted = await self._look(rates, costs)
        standings = [self._standing(rate) for rate in rates]
        if not is_admitted:
            return Admission(headers_of(standings), refusal_of(standings, costs))
        of_tokens = [self._leases[rate.bucket_id] for rate in rates if rate.unit == "tokens"]
        return Admission(headers_of(standings), None, of_tokens)

    @asynccontextmanager
    async def returning(self) -> AsyncIterator[None]:
        """Periodically returns unused amounts while the block runs, and the rest at its end."""
        task = asyncio.create_task(self._return_forever())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._return_or_log(math.inf)

    async def _rates(self, caller: Principal, base: str) -> list[Rate]:
        """The limits that apply to the caller's requests to models of this base."""
        owners = (caller.tenant.project_id, caller.key_id)
        limits = self._limits.get(owners)
        if limits is None or self._clock() - limits.read_at > _LIMITS_SECONDS:
            limits = await self._reads.get(owners, lambda: self._read(owners))
            self._limits[owners] = limits
        rates = []
        for name in RATES:
            of_project = rate_of_project(limits.project, base, name, self._defaults)
            of_key = limits.key.get(("", name), UNLIMITED)
            if of_project != UNLIMITED:
                rates.append(Rate.of_project(caller.tenant, base, name, of_project))
            if of_key != UNLIMITED:
                rates.append(Rate.of_key(caller, name, of_key))
        return rates

    def _read(self, owners: _Owners) -> _CallerLimits:
        project_id, key_id = owners
        with self._database.read() as session:
            limits = Limits(session)
            return _CallerLimits(self._clock(), limits.rates(project_id), limits.rates(key_id))

    def _decide(self, rates: Sequence[Rate], costs: Sequence[int]) -> bool | None:
        """Admits or refuses by what this process knows; returns None if it must look at the buckets."""
        if any(cost > rate.limit for rate, cost in zip(rates, costs, strict=True)):
            return False
        oldest = self._clock() - _LOOK_SECONDS
        leases = [self._leases.get(rate.bucket_id) for rate in rates]
        spendable = []
        for lease, rate, cost in zip(leases, rates, costs, strict=True):
            if lease is None or lease.is_looking or lease.looked_at < oldest or lease.limit != rate.limit:
                return None
            if lease.held >= cost:
                spendable.append(lease)
            elif self._standing(rate).remaining < cost:
                return False
        if len(spendable) < len(rates):
            return None
        for lease, cost in zip(spendable, costs, strict=True):
            lease.held -= cost
        return True

    async def _look(self, rates: Sequence[Rate], costs: Sequence[int]) -> bool:
        """Takes from the buckets what the costs and the next second require."""
        leases = [self._leases.setdefault(rate.bucket_id, _Lease(rate.limit)) for rate in rates]
        claims = []
        for lease, rate, cost in zip(leases, rates, costs, strict=True):
            claims.append(Claim(rate.bucket_id, rate.limit, cost, lease.held))
            lease.limit, lease.held = rate.limit, 0.0
        grants = await self._take(leases, claims)
        is_granted = all(grant.amount >= claim.cost for grant, claim in zip(grants, claims, strict=True))
        if is_granted:
            for lease, cost in zip(leases, costs, strict=True):
                lease.held -= cost
        return is_granted

    async def _take(self, leases: Sequence[_Lease], claims: Sequence[Claim]) -> list[Grant]:
        """Takes from the buckets and records their levels. After a failure, amounts to be returned are
        kept."""

        def write() -> list[Grant]:
            with self._database.write() as session:
                return take(session, claims)

        for lease in leases:
            lease.is_looking = True
        try:
            grants = await run_in_threadpool(write)
        except BaseException:
            for lease, claim in zip(leases, claims, strict=True):
                lease.held += claim.returned
            raise
        finally:
            for lease in leases:
                lease.is_looking = False
        for lease, grant in zip(leases, grants, strict=True):
            lease.held += grant.amount
            lease.level, lease.looked_at = grant.level, self._clock()
        return grants

    def _standing(self, rate: Rate) -> Standing:
        lease = self._leases.get(rate.bucket_id, _Lease(rate.limit, level=rate.limit))
        # A bucket refills even while nobody looks at it.
        age = min(60.0, max(0.0, self._clock() - lease.looked_at))
        return Standing(rate, min(float(rate.limit), lease.held + lease.level + age * rate.limit / 60))

    async def _return_forever(self) -> None:
        while True:
            await asyncio.sleep(_RETURN_SECONDS)
            await self._return_or_log(self._clock() - _LOOK_SECONDS)
            self._forget_idle_callers()

    async def _return_or_log(self, until: float) -> None:
        """Returns what is left of leases whose last look was before `until`."""
        idle = {id: one for id, one in self._leases.items() if one.held and one.looked_at < until}
        claims = [Claim(bucket_id, lease.limit, 0, lease.held) for bucket_id, lease in idle.items()]
        for lease in idle.values():
            lease.held = 0.0
        try:
            if claims:
                await self._take(list(idle.values()), claims)
        except Exception:
            # The buckets refill even if this fails.
            log.exception("cannot give back what is left of rate limits")

    def _forget_idle_callers(self) -> None:
        oldest = self._clock() - _FORGOTTEN_SECONDS
        for owners in [owners for owners, limits in self._limits.items() if limits.read_at < oldest]:
            del self._limits[owners]
        for bucket_id, lease in list(self._leases.items()):
            if lease.looked_at < oldest and not lease.held and not lease.is_looking:
                del self._leases[bucket_id]
