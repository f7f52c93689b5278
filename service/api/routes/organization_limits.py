"""`/v1/organizations/{organization_id}/limits`: the operator's limits on all projects of an organization
together."""

from typing import cast

from fastapi import APIRouter
from sqlalchemy.orm import Session

from service.api.http.auth import Operator
from service.api.http.strict_json import StrictJsonRoute
from service.api.schemas.limits import OrganizationLimits, UpdateOrganizationLimitsBody, UsedByOrganization
from service.api.state import UsesAppState
from service.db.limits.limits import Limits
from service.db.limits.names import UNLIMITED, LimitName
from service.db.limits.quota_use import (
    device_seconds_this_month,
    job_times_of_a_day,
    jobs_of_organization,
    num_jobs_under_way,
    stored_bytes,
)
from service.db.organization.organizations import Organizations, record_by_operator
from service.db.organization.projects import num_projects
from service.db.tenancy import Tenant

router = APIRouter(
    prefix="/organizations/{organization_id}/limits", tags=["Organizations"], route_class=StrictJsonRoute
)

_NAMES: dict[str, LimitName] = {
    "max_projects": "projects",
    "max_concurrent_jobs": "concurrent_jobs",
    "max_jobs_per_1_day": "jobs_per_day",
    "max_device_hours_per_1_month": "device_hours_per_month",
    "max_stored_bytes": "stored_bytes",
}


@router.get("", operation_id="organization_limits_retrieve", summary="Retrieve an organization's limits")
def retrieve(caller: Operator, state: UsesAppState, organization_id: str) -> OrganizationLimits:
    """Returns the organization's limits and how much of each has been used. They apply in addition to those
    of its projects, which its own admins set. A Tunery extension; 9007199254740991 means no limit."""
    with state.database.read() as session:
        return _public(session, organization_id)


@router.post("", operation_id="organization_limits_update", summary="Modify an organization's limits")
def update(
    body: UpdateOrganizationLimitsBody, caller: Operator, state: UsesAppState, organization_id: str
) -> OrganizationLimits:
    """Sets the organization's limits. Whatever already exceeds a lower limit is kept."""
    changes = {_NAMES[field]: cast(int, value) for field, value in body.model_dump(exclude_none=True).items()}
    with state.database.write() as session:
        Organizations(session).get(organization_id)
        Limits(session).change(organization_id, changes)
        record_by_operator(
            session, caller.tenant, "organization.limits.updated", organization_id, changes_requested=changes
        )
        return _public(session, organization_id)


@router.delete("", operation_id="organization_limits_reset", summary="Remove an organization's limits")
def reset(caller: Operator, state: UsesAppState, organization_id: str) -> OrganizationLimits:
    with state.database.write() as session:
        Organizations(session).get(organization_id)
        Limits(session).remove(organization_id)
        record_by_operator(session, caller.tenant, "organization.limits.deleted", organization_id)
        return _public(session, organization_id)


def _public(session: Session, organization_id: str) -> OrganizationLimits:
    """Raises NotFound."""
    Organizations(session).get(organization_id)
    limits, owned = Limits(session).of(organization_id), jobs_of_organization(organization_id)
    seconds = device_seconds_this_month(session, owned, organization_id=organization_id)
    used = UsedByOrganization(
        projects=num_projects(session, organization_id),
        concurrent_jobs=num_jobs_under_way(session, owned),
        jobs_in_1_day=len(job_times_of_a_day(session, owned, organization_id=organization_id)),
        device_hours_in_1_month=round(seconds / 3600, 3),
        stored_bytes=stored_bytes(session, Tenant(organization_id, ""), of_organization=True),
    )
    named = {field: limits.get(name, UNLIMITED) for field, name in _NAMES.items()}
    return OrganizationLimits(id=organization_id, **named, used=used)
