"""`/v1/organizations`: the operator's key creates organizations, each with an admin key of its own."""

from typing import Annotated

from fastapi import APIRouter, Query

from service.api.http.auth import Operator
from service.api.http.strict_json import StrictJsonRoute
from service.api.schemas.base import Absent, OrDefault, WholeNumber
from service.api.schemas.organization import (
    CreatedOrganization,
    OrganizationBody,
    OrganizationList,
    PublicOrganization,
)
from service.api.state import UsesAppState
from service.db.organization.api_keys import ApiKeys
from service.db.organization.organizations import Organization, Organizations

router = APIRouter(prefix="/organizations", tags=["Organizations"], route_class=StrictJsonRoute)


@router.get("", operation_id="organizations_list", summary="List organizations")
def list_organizations(
    caller: Operator,
    state: UsesAppState,
    after: Annotated[str | Absent, OrDefault] = None,
    limit: Annotated[int, Query(ge=1, le=100), WholeNumber] = 20,
) -> OrganizationList:
    """Lists organizations, newest first. A Tunery extension."""
    with state.database.read() as session:
        page = Organizations(session).page(after=after, limit=limit)
    return OrganizationList.of([_public(one) for one in page.data], has_more=page.has_more)


@router.post("", operation_id="organizations_create", summary="Create an organization")
def create(caller: Operator, state: UsesAppState, body: OrganizationBody) -> CreatedOrganization:
    """Creates an organization with a project and an admin key, which is shown only once. Organizations see
    nothing of each other, and the operator's key acts in none but its own. A Tunery extension."""
    with state.database.write() as session:
        organization, tenant = Organizations(session).create(body.name)
        value, _ = ApiKeys(session).create_admin(tenant, name="first admin")
    return CreatedOrganization(
        **dict(_public(organization)), project_id=tenant.project_id, admin_api_key=value
    )


def _public(organization: Organization) -> PublicOrganization:
    return PublicOrganization(id=organization.id, name=organization.name, created_at=organization.created_at)
