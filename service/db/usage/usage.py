"""Usage of API keys, by model and time."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal, get_args

from sqlalchemy import delete, func, literal_column, select
from sqlalchemy.orm import Session

from service.db import tables
from service.db.inserting import insert
from service.db.tenancy import Tenant

Operation = Literal["completions", "embeddings", "classifications"]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
MINUTE, HOUR, DAY = 60, 3600, 86_400


@dataclass(frozen=True, slots=True)
class UsageKey:
    """The dimensions by which usage is counted."""

    tenant: Tenant
    api_key_id: str
    model: str
    """The name in the request."""
    operation: Operation
    start: int
    seconds: int
    """Length of the period that begins at `start`: MINUTE or HOUR. Each request is counted in one of each."""


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


@dataclass(frozen=True, slots=True)
class DayOfUsage:
    day: date
    """In UTC."""
    api_key_id: str
    model: str


class Usage:
    """Usage of one tenant's keys."""

    def __init__(self, session: Session, tenant: Tenant) -> None:
        self._session = session
        self._tenant = tenant

    def between(self, start: date, end: date) -> Sequence[tuple[DayOfUsage, UsageCounts]]:
        """Usage from `start` to `end`, both included, ordered by day, key and model."""
        row = tables.Usage
        day = (row.start - row.start % DAY).label("day")
        sums = (func.sum(row.requests), func.sum(row.prompt_tokens), func.sum(row.completion_tokens))
        found = self._session.execute(
            select(day, row.api_key_id, row.model, *sums)
            .where(
                row.organization_id == self._tenant.organization_id,
                row.project_id == self._tenant.project_id,
                row.seconds == HOUR,
                row.start >= _midnight(start),
                row.start < _midnight(end) + DAY,
            )
            .group_by(day, row.api_key_id, row.model)
            .order_by(day, row.api_key_id, row.model)
        )
        return [
            (
                DayOfUsage(datetime.fromtimestamp(day, UTC).date(), api_key_id, model),
                UsageCounts(*map(int, counts)),
            )
            for day, api_key_id, model, *counts in found
        ]


def write_totals(session: Session, writer: str, totals: Mapping[UsageKey, UsageCounts]) -> None:
    """`totals` is everything that `writer` has counted so far, so that writing it again changes nothing.
    Counts for a project or a key that has been deleted since are left out."""
    projects = _existing(session, tables.Project, {key.tenant.project_id for key in totals})
    keys = _existing(session, tables.ApiKey, {key.api_key_id for key in totals})
    rows = [
        {
            "api_key_id": key.api_key_id,
            "model": key.model,
            "operation": key.operation,
            "start": key.start,
            "seconds": key.seconds,
            "writer": writer,
            "organization_id": key.tenant.organization_id,
            "project_id": key.tenant.project_id,
            **asdict(used),
        }
        for key, used in _in_order(totals.items())
        if key.tenant.project_id in projects and key.api_key_id in keys
    ]
    if not rows:
        return
    new = insert(session, tables.Usage)
    counts = {name: new.excluded[name] for name in asdict(UsageCounts())}
    primary_key = [column.name for column in tables.Usage.__table__.primary_key]
    # One statement for all rows, because psycopg sends it as one batch.
    session.execute(new.on_conflict_do_update(index_elements=primary_key, set_=counts), rows)


def forget_minutes(session: Session, before: float) -> bool:
    """Deletes the oldest hour of the per-minute counts before this time, and returns whether there was any:
    repeat it, each time in a transaction of its own. The counts by the hour stay."""
    row = tables.Usage
    # A literal, because a partial index is not used with a parameter.
    is_minute = row.seconds == literal_column(str(MINUTE))
    oldest = session.scalar(select(func.min(row.start)).where(is_minute, row.start < int(before)))
    if oldest is None:
        return False
    session.execute(delete(row).where(is_minute, row.start < min(int(before), oldest + HOUR)))
    return True


def _existing(
    session: Session, table: type[tables.Project] | type[tables.ApiKey], ids: Collection[str]
) -> set[str]:
    return set(session.scalars(select(table.id).where(table.id.in_(ids))))


def _midnight(day: date) -> int:
    return int((day - date(1970, 1, 1)) / timedelta(days=1)) * DAY


def _in_order(totals: Iterable[tuple[UsageKey, UsageCounts]]) -> list[tuple[UsageKey, UsageCounts]]:
    def place(key: UsageKey) -> tuple[int, int, str, str, str]:
        return key.seconds, key.start, key.api_key_id, key.model, key.operation

    return sorted(totals, key=lambda item: place(item[0]))
