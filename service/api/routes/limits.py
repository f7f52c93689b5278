"""`…/limits` of projects and API keys: what they may use, and what they have used of it."""

from fastapi import APIRouter
from sqlalchemy.orm import Session

from service.api.http.auth import OrganizationAdmin
from service.api.http.strict_json import StrictJsonRoute
from service.api.schemas.limits import (
    KeyLimits,
    ProjectLimits,
    UpdateKeyLimitsBody,
    UpdateProjectLimitsBody,
    UsedByKey,
    UsedByProject,
)
from service.api.state import AppState, UsesAppState
from service.db.limits.limits import Limits
from service.db.limits.names import UNLIMITED, LimitName
from service.db.limits.quota_use import (
    Owned,
    device_seconds_this_month,
    job_times_of_a_day,
    jobs_of_key,
    jobs_of_project,
    num_jobs_under_way,
    stored_bytes,
)
from service.db.organization.api_keys import Principal
from service.db.organization.key_sets import KeySet
from service.db.organization.projects import Projects
from service.db.tenancy import Tenant

router = APIRouter(prefix="/organization/projects/{project_id}", tags=["Limits"], route_class=StrictJsonRoute)

_NAMES: dict[str, LimitName] = {
    "max_requests_per_1_minute": "requests_per_minute",
    "max_tokens_per_1_minute": "tokens_per_minute",
    "max_concurrent_jobs": "concurrent_jobs",
    "max_jobs_per_1_day": "jobs_per_day",
    "max_device_hours_per_1_month": "device_hours_per_month",
    "max_stored_bytes": "stored_bytes",
}


@router.get("/limits", operation_id="project_limits_retrieve", summary="Retrieve a project's limits")
def retrieve_project_limits(caller: OrganizationAdmin, state: UsesAppState, project_id: str) -> ProjectLimits:
    """And what has been used of them. A Tunery extension; 9007199254740991 means no limit."""
    with state.database.read() as session:
        Projects(session, caller.tenant.organization_id).get(project_id)
        return _of_project(session, caller.tenant.organization_id, project_id, state)


@router.post("/limits", operation_id="project_limits_update", summary="Modify a project's limits")
def update_project_limits(
    body: UpdateProjectLimitsBody, caller: OrganizationAdmin, state: UsesAppState, project_id: str
) -> ProjectLimits:
    with state.database.write() as session:
        Projects(session, caller.tenant.organization_id).active_tenant(project_id)
        limits = Limits(session)
        limits.change(project_id, _given(body))
        return _of_project(session, caller.tenant.organization_id, project_id, state)


@router.delete("/limits", operation_id="project_limits_reset", summary="Reset a project's limits")
def reset_project_limits(caller: OrganizationAdmin, state: UsesAppState, project_id: str) -> ProjectLimits:
    """The server's limits apply again. Those of single base models stay."""
    with state.database.write() as session:
        Projects(session, caller.tenant.organization_id).active_tenant(project_id)
        limits = Limits(session)
        limits.remove(project_id)
        return _of_project(session, caller.tenant.organization_id, project_id, state)


@router.get(
    "/api_keys/{api_key_id}/limits",
    operation_id="api_key_limits_retrieve",
    summary="Retrieve an API key's limits",
)
def retrieve_key_limits(
    caller: OrganizationAdmin, state: UsesAppState, project_id: str, api_key_id: str
) -> KeyLimits:
    """And what has been used of them. A Tunery extension; 9007199254740991 means no limit."""
    with state.database.read() as session:
        _check_key(session, caller, project_id, api_key_id)
        return _of_key(session, api_key_id)


@router.post(
    "/api_keys/{api_key_id}/limits",
    operation_id="api_key_limits_update",
    summary="Modify an API key's limits",
)
def update_key_limits(
    body: UpdateKeyLimitsBody,
    caller: OrganizationAdmin,
    state: UsesAppState,
    project_id: str,
    api_key_id: str,
) -> KeyLimits:
    """They apply beside those of the key's project."""
    with state.database.write() as session:
        _check_key(session, caller, project_id, api_key_id)
        limits = Limits(session)
        limits.change(api_key_id, _given(body))
        return _of_key(session, api_key_id)


@router.delete(
    "/api_keys/{api_key_id}/limits", operation_id="api_key_limits_reset", summary="Remove an API key's limits"
)
def reset_key_limits(
    caller: OrganizationAdmin, state: UsesAppState, project_id: str, api_key_id: str
) -> KeyLimits:
    with state.database.write() as session:
        _check_key(session, caller, project_id, api_key_id)
        limits = Limits(session)
        limits.remove(api_key_id)
        return _of_key(session, api_key_id)


def _check_key(session: Session, caller: Principal, project_id: str, key_id: str) -> None:
    """Raises NotFound if the organization's project has no such key."""
    tenant = Projects(session, caller.tenant.organization_id).tenant(project_id)
    KeySet.of_project(session, tenant).get(key_id)


def _given(body: UpdateKeyLimitsBody) -> dict[LimitName, int]:
    return {_NAMES[field]: value for field, value in body.model_dump(exclude_none=True).items()}


def _of_project(session: Session, organization_id: str, project_id: str, state: AppState) -> ProjectLimits:
    limits = dict(state.settings.project_limits) | Limits(session).of(project_id)
    used = _used(session, jobs_of_project(project_id))
    stored = stored_bytes(session, Tenant(organization_id, project_id))
    return ProjectLimits(
        id=project_id,
        **{field: limits.get(name, UNLIMITED) for field, name in _NAMES.items()},
        used=UsedByProject(**used.model_dump(), stored_bytes=stored),
    )


def _of_key(session: Session, key_id: str) -> KeyLimits:
    limits = Limits(session).of(key_id)
    return KeyLimits(
        id=key_id,
        **{field: limits.get(name, UNLIMITED) for field, name in _NAMES.items() if name != "stored_bytes"},
        used=_used(session, jobs_of_key(key_id)),
    )


def _used(session: Session, owned: Owned) -> UsedByKey:
    return UsedByKey(
        concurrent_jobs=num_jobs_under_way(session, owned),
        jobs_in_1_day=len(job_times_of_a_day(session, owned)),
        device_hours_in_1_month=round(device_seconds_this_month(session, owned) / 3600, 3),
    )
