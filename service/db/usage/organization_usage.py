"""Usage of all projects of an organization, including deleted ones, in buckets of time."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from service.db import tables
from service.db.usage.device_time import DeviceTime, device_time
from service.db.usage.usage import HOUR, MINUTE, Operation, UsageCounts

Dimension = Literal["project_id", "api_key_id", "model"]
FINE_TUNING = "fine_tuning"
"""Used in place of an Operation for the usage of training."""
Group = tuple[tuple[Dimension, str | None], ...]
"""The values that a group of usage has in common."""


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """Selection of an organization's usage, and how it is grouped. Empty lists select everything."""

    start: int
    end: int
    """Exclusive. Both times are multiples of `width`."""
    width: int
    """Length of a bucket in seconds: a minute, an hour or a day."""
    project_ids: Sequence[str] = ()
    api_key_ids: Sequence[str] = ()
    models: Sequence[str] = ()
    group_by: Sequence[Dimension] = ()


@dataclass(frozen=True, slots=True)
class TrainingUsage:
    jobs: int = 0
    """Number of jobs that ended."""
    trained_tokens: int = 0
    """Tokens trained by the jobs that ended."""
    device_seconds: float = 0.0

    def __add__(self, other: "TrainingUsage") -> "TrainingUsage":
        return TrainingUsage(
            self.jobs + other.jobs,
            self.trained_tokens + other.trained_tokens,
            self.device_seconds + other.device_seconds,
        )


class OrganizationUsage:
    def __init__(self, session: Session, organization_id: str) -> None:
        self._session = session
        self._organization_id = organization_id

    def of_models(self, operation: Operation, wanted: UsageFilter) -> dict[int, dict[Group, UsageCounts]]:
        """Usage of models by the start of the bucket. Buckets and groups without usage are absent. Figures by
        the minute are kept only for a time (`forget_minutes`)."""
        row = tables.Usage
        bucket = (row.start - row.start % wanted.width).label("bucket")
        groups = [getattr(row, name) for name in wanted.group_by]
        sums = (func.sum(row.requests), func.sum(row.prompt_tokens), func.sum(row.completion_tokens))
        found = self._session.execute(
            select(bucket, *sums, *groups)
            .where(
                row.organization_id == self._organization_id,
                row.operation == operation,
                row.seconds == (MINUTE if wanted.width < HOUR else HOUR),
                row.start >= wanted.start,
                row.start < wanted.end,
                *_selected(row, wanted),
            )
            .group_by(bucket, *groups)
            .order_by(bucket, *groups)
        )
        buckets: dict[int, dict[Group, UsageCounts]] = {}
        for start, requests, prompt_tokens, completion_tokens, *values in found:
            counts = UsageCounts(int(requests), int(prompt_tokens), int(completion_tokens))
            buckets.setdefault(start, {})[tuple(zip(wanted.group_by, values, strict=True))] = counts
        for past in self._past(operation, wanted):
            groups_of_bucket = buckets.setdefault(past.start - past.start % wanted.width, {})
            group = _past_group(past, wanted)
            counts = UsageCounts(past.requests, past.prompt_tokens, past.completion_tokens)
            groups_of_bucket[group] = groups_of_bucket.get(group, UsageCounts()) + counts
        return buckets

    def of_training(self, wanted: UsageFilter) -> dict[int, dict[Group, TrainingUsage]]:
        """Training by the start of the bucket. A job counts when its training ended, however often its model
        is published, and its device time counts when it was spent. The model is the base."""
        buckets: defaultdict[int, defaultdict[Group, TrainingUsage]] = defaultdict(
            lambda: defaultdict(TrainingUsage)
        )
        job = tables.Job
        owned = [job.organization_id == self._organization_id, *_selected(job, wanted)]
        ended_at = func.coalesce(job.trained_at, job.finished_at)
        groups = [getattr(job, name) for name in wanted.group_by]
        # The same condition on columns that have indexes.
        is_ended = or_(
            and_(job.trained_at >= wanted.start, job.trained_at < wanted.end),
            and_(job.trained_at.is_(None), job.finished_at >= wanted.start, job.finished_at < wanted.end),
        )
        ended = (
            select(ended_at, job.trained_tokens, *groups).where(*owned, is_ended).order_by(ended_at, job.id)
        )
        for at, trained_tokens, *values in self._session.execute(ended):
            group: Group = tuple(zip(wanted.group_by, values, strict=True))
            buckets[at - at % wanted.width][group] += TrainingUsage(1, trained_tokens or 0)
        for part in device_time(self._session, owned, wanted.start, wanted.end):
            group = tuple((name, getattr(part, name)) for name in wanted.group_by)
            for bucket, seconds in _in_buckets(part, wanted.width):
                buckets[bucket][group] += TrainingUsage(device_seconds=seconds * part.num_workers)
        for past in self._past(FINE_TUNING, wanted):
            used = TrainingUsage(past.requests, past.prompt_tokens, past.device_seconds)
            buckets[past.start - past.start % wanted.width][_past_group(past, wanted)] += used
        return {start: dict(groups) for start, groups in buckets.items()}

    def _past(self, operation: str, wanted: UsageFilter) -> Sequence[tables.PastUsage]:
        """Usage of deleted projects, which is known by the hour, but not by key."""
        row = tables.PastUsage
        if wanted.width < HOUR or wanted.api_key_ids:
            return []
        statement = select(row).where(
            row.organization_id == self._organization_id,
            row.operation == operation,
            row.start >= wanted.start,
            row.start < wanted.end,
        )
        if wanted.project_ids:
            statement = statement.where(row.project_id.in_(wanted.project_ids))
        if wanted.models:
            statement = statement.where(row.base.in_(wanted.models))
        return self._session.scalars(statement).all()


def _past_group(past: tables.PastUsage, wanted: UsageFilter) -> Group:
    values = {"project_id": past.project_id, "api_key_id": None, "model": past.base}
    return tuple((name, values[name]) for name in wanted.group_by)


def _selected(row: type[tables.Usage] | type[tables.Job], wanted: UsageFilter) -> list[ColumnElement[bool]]:
    filters = (
        (row.project_id, wanted.project_ids),
        (row.api_key_id, wanted.api_key_ids),
        (row.model, wanted.models),
    )
    return [column.in_(values) for column, values in filters if values]


def _in_buckets(part: DeviceTime, width: int) -> list[tuple[int, float]]:
    """The part's seconds in each bucket that it touches."""
    first = int(part.start // width) * width
    starts = range(first, int(part.end) + 1, width)
    shares = ((start, min(part.end, start + width) - max(part.start, start)) for start in starts)
    return [(start, seconds) for start, seconds in shares if seconds > 0]
