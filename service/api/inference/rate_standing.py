"""A caller's use of its limits per minute, in OpenAI's wording and headers. Pure.

The headers describe a bucket that refills steadily: `reset` is the time until it is full again."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from cluster.contracts.durations import duration
from cluster.contracts.errors import RateLimited
from service.db.limits.names import RateName
from service.db.organization.api_keys import Principal
from service.db.tenancy import Tenant

Unit = Literal["requests", "tokens"]
_UNITS: dict[RateName, Unit] = {"requests_per_minute": "requests", "tokens_per_minute": "tokens"}
_ABBREVIATIONS: dict[Unit, str] = {"requests": "RPM", "tokens": "TPM"}


@dataclass(frozen=True, slots=True)
class Rate:
    """A limit per minute and the bucket that holds what is left of it."""

    unit: Unit
    limit: int
    subject: str
    """Who is limited, for the message."""
    bucket_id: str

    @classmethod
    def of_project(cls, tenant: Tenant, base: str, name: RateName, limit: int) -> "Rate":
        """A project has a limit for each base, which models tuned from it share."""
        subject = f"{base} in organization {tenant.organization_id} project {tenant.project_id}"
        return cls(_UNITS[name], limit, subject, f"{tenant.project_id}/{base}/{name}")

    @classmethod
    def of_key(cls, caller: Principal, name: RateName, limit: int) -> "Rate":
        """A key has one limit for all models."""
        subject = f"API key {caller.key_id} in organization {caller.tenant.organization_id}"
        return cls(_UNITS[name], limit, subject, f"{caller.key_id}//{name}")


@dataclass(frozen=True, slots=True)
class Standing:
    rate: Rate
    remaining: float
    """Negative if more was used than expected."""


def headers_of(standings: Iterable[Standing]) -> dict[str, str]:
    """OpenAI's six headers, for the tightest limit of each unit; a unit without limits has none."""
    headers = {}
    for unit in _ABBREVIATIONS:
        own = [standing for standing in standings if standing.rate.unit == unit]
        if not own:
            continue
        closest = min(own, key=lambda standing: standing.remaining)
        limit = closest.rate.limit
        missing = limit - closest.remaining
        headers[f"x-ratelimit-limit-{unit}"] = str(limit)
        headers[f"x-ratelimit-remaining-{unit}"] = str(max(0, math.floor(closest.remaining)))
        headers[f"x-ratelimit-reset-{unit}"] = duration(missing * 60 / limit if limit else 0.0)
    return headers


def refusal_of(standings: Sequence[Standing], costs: Sequence[int]) -> RateLimited:
    """The error for the limit that takes longest until it admits the request."""
    too_large = [(one, cost) for one, cost in zip(standings, costs, strict=True) if cost > one.rate.limit]
    for standing, cost in too_large:
        rate = standing.rate
        advice = "The input or output tokens must be reduced in order to run successfully."
        return RateLimited(
            f"Request too large for {_named(rate)}: Limit {rate.limit}, Requested {cost}."
            + (f" {advice}" if rate.unit == "tokens" else ""),
            unit=rate.unit,
            retry_after_seconds=None,
        )
    # A request that costs nothing fits into a limit of zero.
    waits = [
        (cost - standing.remaining) * 60 / standing.rate.limit if standing.rate.limit else 0.0
        for standing, cost in zip(standings, costs, strict=True)
    ]
    worst = max(range(len(waits)), key=waits.__getitem__)
    rate, remaining = standings[worst].rate, standings[worst].remaining
    seconds = max(0.001, waits[worst])
    return RateLimited(
        f"Rate limit reached for {_named(rate)}: Limit {rate.limit}, "
        f"Used {math.ceil(rate.limit - remaining)}, Requested {costs[worst]}.",
        unit=rate.unit,
        retry_after_seconds=seconds,
    )


def _named(rate: Rate) -> str:
    return f"{rate.subject} on {rate.unit} per min ({_ABBREVIATIONS[rate.unit]})"
