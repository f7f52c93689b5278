"""`/v1/usage`: what the project's keys have used."""

from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import APIRouter

from cluster.contracts.errors import InvalidRequest
from service.api.http.auth import Reader
from service.api.schemas.base import Absent, Day
from service.api.schemas.usage import KeyUsage, UsageList
from service.api.state import UsesAppState
from service.db.usage.usage import Usage

router = APIRouter(prefix="/usage", tags=["Usage"])

_DEFAULT_DAYS = 30
_MAX_DAYS = 366


@router.get("", operation_id="usage_list", summary="List usage by day, key and model")
def list_usage(
    caller: Reader,
    state: UsesAppState,
    start: Annotated[date | Absent, Day] = None,
    end: Annotated[date | Absent, Day] = None,
) -> UsageList:
    """Lists usage by day, oldest first, from `start` to `end` inclusive: at most 366 days, and by default the
    last 30, including today (UTC). A Tunery extension. Usage appears a few seconds after a request has
    ended."""
    first, last = _days(start, end)
    with state.database.read() as session:
        found = Usage(session, caller.tenant).between(first, last)
    return UsageList(
        data=[
            KeyUsage(
                date=key.day.isoformat(),
                api_key_id=key.api_key_id,
                model=key.model,
                requests=used.requests,
                prompt_tokens=used.prompt_tokens,
                completion_tokens=used.completion_tokens,
            )
            for key, used in found
        ]
    )


def _days(start: date | None, end: date | None) -> tuple[date, date]:
    last = end or datetime.now(UTC).date()
    first = start or date.fromordinal(max(1, last.toordinal() - _DEFAULT_DAYS + 1))
    num_days = (last - first).days + 1
    if not 1 <= num_days <= _MAX_DAYS:
        raise InvalidRequest(
            f"start is {first} and end is {last}, {num_days} days; they must be 1 to {_MAX_DAYS}.",
            param="start",
        )
    return first, last
