"""`…/limits`: the limits of projects and API keys, and how much of them has been used."""

from typing import cast

from fastapi import APIRouter
from sqlalchemy.orm import Session

from cluster.contracts.errors import PermissionDenied
from cluster.contracts.jobs import PRIORITIES
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
from service.db.limits.priorities import max_priority
from service.db.limits.quota_use import (
    Owned,
    device_seconds_this_month,
    job_times_of_a_day,
    jobs_of_key,
    jobs_of_project,
    num_jobs_under_way,
    stored_bytes,
)
from service.db.organization.api_keys import DEFAULT_TENANT, Principal
from service.db.organization.audit_log import record
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
}
_PROJECT_NAMES: dict[str, LimitName] = _NAMES | {
    "max_stored_bytes": "stored_bytes",
    "soft_max_devices": "soft_max_devices",
    "max_devices": "max_devices",
}


@router.get("/limits", operation_id="project_limits_retrieve", summary="Retrieve a project's limits")
def retrieve_project_limits(caller: OrganizationAdmin, state: UsesAppState, project_id: str) -> ProjectLimits:
    """Returns the project's limits and how much of each has been used. A Tunery extension; 9007199254740991
    means no limit."""
    with state.database.read() as session:
        Projects(session, caller.tenant.organization_id).get(project_id)
        return _of_project(session, caller.tenant.organization_id, project_id, state)


@router.post("/limits", operation_id="project_limits_update", summary="Modify a project's limits")
def update_project_limits(
    body: UpdateProjectLimitsBody, caller: OrganizationAdmin, state: UsesAppState, project_id: str
) -> ProjectLimits:
    with state.database.write() as session:
        tenant = Projects(session, caller.tenant.organization_id).active_tenant(project_id)
        _check_may_prioritize(body, tenant, state)
        changes = _given(body)
        Limits(session).change(project_id, changes)
        record(session, tenant, "project.limits.updated", project_id, changes_requested=changes)
        return _of_project(session, caller.tenant.organization_id, project_id, state)


@router.delete("/limits", operation_id="project_limits_reset", summary="Reset a project's limits")
def reset_project_limits(caller: OrganizationAdmin, state: UsesAppState, project_id: str) -> ProjectLimits:
    """Resets the project's limits to the server's. Limits for individual base models are kept."""
    with state.database.write() as session:
        tenant = Projects(session, caller.tenant.organization_id).active_tenant(project_id)
        Limits(session).remove(project_id)
        record(session, tenant, "project.limits.deleted", project_id)
        return _of_project(session, caller.tenant.organization_id, project_id, state)


@router.get(
    "/api_keys/{api_key_id}/limits",
    operation_id="api_key_limits_retrieve",
    summary="Retrieve an API key's limits",
)
def retrieve_key_limits(
    caller: OrganizationAdmin, state: UsesAppState, project_id: str, api_key_id: str
) -> KeyLimits:
    """Returns the key's limits and how much of each has been used. A Tunery extension; 9007199254740991 means
    no limit."""
    with state.database.read() as session:
        _tenant_of_key(session, caller, project_id, api_key_id)
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
    """Sets the key's limits, which apply in addition to those of its project."""
    with state.database.write() as session:
        tenant = _tenant_of_key(session, caller, project_id, api_key_id)
        changes = _given(body)
        Limits(session).change(api_key_id, changes)
        record(session, tenant, "api_key.limits.updated", api_key_id, changes_requested=changes)
        return _of_key(session, api_key_id)


@router.delete(
    "/api_keys/{api_key_id}/limits", operation_id="api_key_limits_reset", summary="Remove an API key's limits"
)
def reset_key_limits(
    caller: OrganizationAdmin, state: UsesAppState, project_id: str, api_key_id: str
) -> KeyLimits:
    with state.database.write() as session:
        tenant = _tenant_of_key(session, caller, project_id, api_key_id)
        Limits(session).remove(api_key_id)
        record(session, tenant, "api_key.limits.deleted", api_key_id)
        return _of_key(session, api_key_id)


def _tenant_of_key(session: Session, caller: Principal, project_id: str, key_id: str) -> Tenant:
    """Raises NotFound if the organization's project has no such key."""
    tenant = Projects(session, caller.tenant.organization_id).tenant(project_id)
    KeySet.of_project(session, tenant).get(key_id)
    return tenant


def _check_may_prioritize(body: UpdateProjectLimitsBody, tenant: Tenant, state: AppState) -> None:
    """Raises PermissionDenied (`priority_not_allowed`)."""
    is_operators = tenant.organization_id == DEFAULT_TENANT.organization_id
    if is_operators or state.settings.organizations_may_prioritize:
        return
    asked = {"max_priority": body.max_priority == "high", "device_share": (body.device_share or 1) > 1}
    for param, is_more in asked.items():
        if is_more:
            raise PermissionDenied(
                f"An organization may not raise {param}, because the jobs of others would wait for its own. "
                "The operator can allow it with TUNERY_ORGANIZATIONS_MAY_PRIORITIZE.",
                code="priority_not_allowed",
                param=param,
            )


def _given(body: UpdateKeyLimitsBody) -> dict[LimitName, int]:
    given = body.model_dump(exclude_none=True)
    if "max_priority" in given:
        given["max_priority"] = PRIORITIES.index(given["max_priority"])
    return {_PROJECT_NAMES.get(field, cast(LimitName, field)): value for field, value in given.items()}


def _of_project(session: Session, organization_id: str, project_id: str, state: AppState) -> ProjectLimits:
    limits = dict(state.settings.project_limits) | Limits(session).of(project_id)
    used = _used(session, jobs_of_project(project_id))
    stored = stored_bytes(session, Tenant(organization_id, project_id))
    return ProjectLimits(
        id=project_id,
        **{field: limits.get(name, UNLIMITED) for field, name in _PROJECT_NAMES.items()},
        max_priority=max_priority(session, project_id),
        device_share=limits.get("device_share", 1),
        used=UsedByProject(**used.model_dump(), stored_bytes=stored),
    )


def _of_key(session: Session, key_id: str) -> KeyLimits:
    limits = Limits(session).of(key_id)
    return KeyLimits(
        id=key_id,
        **{field: limits.get(name, UNLIMITED) for field, name in _NAMES.items()},
        used=_used(session, jobs_of_key(key_id)),
    )


def _used(session: Session, owned: Owned) -> UsedByKey:
    return UsedByKey(
        concurrent_jobs=num_jobs_under_way(session, owned),
        jobs_in_1_day=len(job_times_of_a_day(session, owned)),
        device_hours_in_1_month=round(device_seconds_this_month(session, owned) / 3600, 3),
    )
