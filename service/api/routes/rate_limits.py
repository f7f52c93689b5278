"""`/v1/organization/projects/{project_id}/rate_limits`: requests and tokens per minute, by base model."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query

from cluster.contracts.errors import InvalidRequest, NotFound
from service.api.http.auth import OrganizationAdmin
from service.api.http.strict_json import StrictJsonRoute
from service.api.schemas.base import Absent, OrDefault, WholeNumber
from service.api.schemas.limits import ProjectRateLimit, ProjectRateLimitList, UpdateRateLimitBody
from service.api.state import AppState, UsesAppState
from service.db.limits.limits import Limits, rate_of_project
from service.db.limits.names import LimitName, RateName
from service.db.organization.audit_log import record
from service.db.organization.projects import Projects

router = APIRouter(
    prefix="/organization/projects/{project_id}/rate_limits", tags=["Limits"], route_class=StrictJsonRoute
)

_PREFIX = "rl-"


@router.get("", operation_id="project_rate_limits_list", summary="List a project's rate limits")
def list_rate_limits(
    caller: OrganizationAdmin,
    state: UsesAppState,
    project_id: str,
    after: Annotated[str | Absent, OrDefault] = None,
    before: Annotated[str | Absent, OrDefault] = None,
    limit: Annotated[int, Query(ge=1, le=100), WholeNumber] = 100,
) -> ProjectRateLimitList:
    """Lists a rate limit for each base model, which the models tuned from it share. 9007199254740991 means no
    limit."""
    bases = list(state.catalogue)
    start = 0 if after is None else _place(after, bases, "after") + 1
    end = len(bases) if before is None else _place(before, bases, "before")
    shown = bases[start:end][:limit]
    with state.database.read() as session:
        Projects(session, caller.tenant.organization_id).get(project_id)
        rates = Limits(session).rates(project_id)
    data = [_rate_limit(rates, base, state) for base in shown]
    return ProjectRateLimitList(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=start + len(shown) < end,
    )


@router.post(
    "/{rate_limit_id}", operation_id="project_rate_limits_update", summary="Modify a project's rate limit"
)
def update_rate_limit(
    body: UpdateRateLimitBody,
    caller: OrganizationAdmin,
    state: UsesAppState,
    project_id: str,
    rate_limit_id: str,
) -> ProjectRateLimit:
    """Takes effect within a few seconds."""
    changes: Mapping[LimitName, int | None] = {
        "requests_per_minute": body.max_requests_per_1_minute,
        "tokens_per_minute": body.max_tokens_per_1_minute,
    }
    with state.database.write() as session:
        tenant = Projects(session, caller.tenant.organization_id).active_tenant(project_id)
        base = _base(rate_limit_id, state)
        given = {name: value for name, value in changes.items() if value is not None}
        Limits(session).change(project_id, given, model=base)
        requested = body.model_dump(exclude_none=True)
        record(session, tenant, "rate_limit.updated", rate_limit_id, changes_requested=requested)
        return _rate_limit(Limits(session).rates(project_id), base, state)


@router.delete(
    "/{rate_limit_id}", operation_id="project_rate_limits_reset", summary="Reset a project's rate limit"
)
def reset_rate_limit(
    caller: OrganizationAdmin, state: UsesAppState, project_id: str, rate_limit_id: str
) -> ProjectRateLimit:
    """Removes the limits for this base model, so that the project's limits for any base model apply again, or
    otherwise the server's. A Tunery extension."""
    with state.database.write() as session:
        tenant = Projects(session, caller.tenant.organization_id).active_tenant(project_id)
        base = _base(rate_limit_id, state)
        Limits(session).remove(project_id, model=base)
        record(session, tenant, "rate_limit.deleted", rate_limit_id)
        return _rate_limit(Limits(session).rates(project_id), base, state)


def _base(rate_limit_id: str, state: AppState) -> str:
    base = rate_limit_id.removeprefix(_PREFIX)
    if not rate_limit_id.startswith(_PREFIX) or base not in state.catalogue:
        raise NotFound(f"No such rate limit: {rate_limit_id}", param="rate_limit_id")
    return base


def _place(rate_limit_id: str, bases: list[str], param: str) -> int:
    base = rate_limit_id.removeprefix(_PREFIX)
    if base not in bases:
        raise InvalidRequest(f"No item with id '{rate_limit_id}' to list {param}.", param=param)
    return bases.index(base)


def _rate_limit(rates: Mapping[tuple[str, RateName], int], base: str, state: AppState) -> ProjectRateLimit:
    defaults = state.settings.project_limits
    return ProjectRateLimit(
        id=_PREFIX + base,
        model=base,
        max_requests_per_1_minute=rate_of_project(rates, base, "requests_per_minute", defaults),
        max_tokens_per_1_minute=rate_of_project(rates, base, "tokens_per_minute", defaults),
    )
