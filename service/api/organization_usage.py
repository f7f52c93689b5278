"""Parses usage queries, and builds the buckets that clients see. Pure."""

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast, get_args

from cluster.contracts.errors import InvalidRequest
from service.api.schemas.organization_usage import CostsResult, UsageBucket, UsagePage, UsageResult
from service.db.usage.organization_usage import Dimension, UsageFilter

BucketWidth = Literal["1m", "1h", "1d"]
WIDTHS: Mapping[BucketWidth, int] = {"1m": 60, "1h": 3600, "1d": 86_400}
_LIMITS: Mapping[BucketWidth, tuple[int, int]] = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}
"""Default and maximum number of buckets of a page."""
_DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)
_LATEST = 253_402_300_800
"""The end of the year 9999."""

Counts = TypeVar("Counts")


@dataclass(frozen=True, slots=True)
class UsageQuery:
    filter: UsageFilter
    next_start: int | None
    """Start of the next page's first bucket; None if this page is the last."""

    def page(
        self,
        buckets: Mapping[int, Mapping[Any, Counts]],
        result: Callable[[Counts, dict[str, Any]], UsageResult | CostsResult],
    ) -> UsagePage:
        """`result` builds a result from counts and the values by which they were grouped, as (name, value)
        pairs."""
        wanted = self.filter
        data = [
            UsageBucket(
                start_time=start,
                end_time=start + wanted.width,
                results=cast(Any, [result(counts, dict(group)) for group, counts in found.items()]),
            )
            for start in range(wanted.start, wanted.end, wanted.width)
            for found in [buckets.get(start, {})]
        ]
        next_page = None if self.next_start is None else f"page_{self.next_start:x}"
        return UsagePage(data=data, has_more=next_page is not None, next_page=next_page)


def usage_query(
    *,
    start_time: int,
    end_time: int | None,
    bucket_width: BucketWidth,
    limit: int | None,
    page: str | None,
    group_by: Iterable[str],
    also_groups: Sequence[str] = (),
    dimensions: Sequence[Dimension] = _DIMENSIONS,
    limits: Mapping[BucketWidth, tuple[int, int]] = _LIMITS,
    **lists: Sequence[str],
) -> UsageQuery:
    """`dimensions`: the dimensions by which results may be grouped; `also_groups`: further names that are
    accepted, although they have only one value or are not a dimension of the usage. `limits`: default and
    maximum number of buckets of a page. `lists`: the project_ids, api_key_ids and models. Raises
    InvalidRequest, which names the parameter."""
    width = WIDTHS[bucket_width]
    end = int(time.time()) + 1 if end_time is None else end_time
    if not 0 <= start_time < end <= _LATEST:
        raise InvalidRequest(
            f"start_time is {start_time} and end_time is {end}; the start must be before the end, and both "
            "are Unix seconds.",
            param="start_time",
        )
    default, most = limits[bucket_width]
    num_buckets = default if limit is None else limit
    if not 1 <= num_buckets <= most:
        raise InvalidRequest(
            f"limit is {num_buckets}; with bucket_width={bucket_width} it must be 1 to {most}.", param="limit"
        )
    first = start_time - start_time % width
    if page is not None:
        first = _start_of(page, first, end, width)
    last = min(first + num_buckets * width, end + -end % width)
    groups = _groups(group_by, dimensions, also_groups)
    wanted = UsageFilter(start=first, end=last, width=width, group_by=groups, **lists)
    return UsageQuery(wanted, last if last < end else None)


def _start_of(page: str, first: int, end: int, width: int) -> int:
    found = re.fullmatch(r"page_([0-9a-f]{1,12})", page)
    start = int(found[1], 16) if found else -1
    if start % width or not first <= start < end:
        raise InvalidRequest(
            "page is not the next_page of an answer to these parameters. Send the same start_time and "
            "bucket_width with it.",
            param="page",
        )
    return start


def _groups(names: Iterable[str], dimensions: Sequence[Dimension], also: Sequence[str]) -> list[Dimension]:
    names = list(names)
    for name in names:
        if name not in (*dimensions, *also):
            allowed = ", ".join((*dimensions, *also))
            raise InvalidRequest(f"Usage cannot be grouped by '{name}', only by {allowed}.", param="group_by")
    return [name for name in dimensions if name in names]
