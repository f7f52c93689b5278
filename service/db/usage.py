"""Usage of API keys, by day and model."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.db import tables
from service.db.tenancy import Tenant


@dataclass(frozen=True, slots=True)
class UsageKey:
    """What usage is counted by."""

    tenant: Tenant
    api_key_id: str
    model: str
    """Its own name, also if the request named an alias."""
    day: date
    """In UTC."""


@dataclass(frozen=True, slots=True)
class UsageCounts:
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: "UsageCounts") -> "UsageCounts":
        return UsageCounts(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


class Usage:
    """Usage of one tenant's keys."""

    def __init__(self, session: Session, tenant: Tenant) -> None:
        self._session = session
        self._tenant = tenant

    def between(self, start: date, end: date) -> Sequence[tuple[UsageKey, UsageCounts]]:
        """Usage from `start` to `end`, both included, ordered by day, key and model."""
        row = tables.Usage
        sums = (func.sum(row.requests), func.sum(row.prompt_tokens), func.sum(row.completion_tokens))
        found = self._session.execute(
            select(row.day, row.api_key_id, row.model, *sums)
            .where(
                row.organization_id == self._tenant.organization_id,
                row.project_id == self._tenant.project_id,
                row.day.between(start.isoformat(), end.isoformat()),
            )
            .group_by(row.day, row.api_key_id, row.model)
            .order_by(row.day, row.api_key_id, row.model)
        )
        return [
            (
                UsageKey(self._tenant, api_key_id, model, date.fromisoformat(day)),
                UsageCounts(*map(int, counts)),
            )
            for day, api_key_id, model, *counts in found
        ]


def write_totals(session: Session, writer: str, totals: Mapping[UsageKey, UsageCounts]) -> None:
    """`totals` is all that `writer` has counted so far, so that writing it again changes nothing."""
    for key, used in _in_order(totals.items()):
        session.merge(
            tables.Usage(
                api_key_id=key.api_key_id,
                model=key.model,
                day=key.day.isoformat(),
                writer=writer,
                organization_id=key.tenant.organization_id,
                project_id=key.tenant.project_id,
                requests=used.requests,
                prompt_tokens=used.prompt_tokens,
                completion_tokens=used.completion_tokens,
            )
        )


def _in_order(totals: Iterable[tuple[UsageKey, UsageCounts]]) -> list[tuple[UsageKey, UsageCounts]]:
    return sorted(totals, key=lambda item: (item[0].day, item[0].api_key_id, item[0].model))
