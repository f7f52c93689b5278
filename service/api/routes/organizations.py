"""`/v1/organizations`: the operator's key creates organizations, each with its own admin key, recovers
organizations that have lost their keys, and ends organizations."""

from typing import Annotated

from fastapi import APIRouter, Query

from service.api.http.auth import Operator
from service.api.http.strict_json import StrictJsonRoute
from service.api.organization.public_keys import public_admin_key
from service.api.schemas.base import Absent, OrDefault, WholeNumber
from service.api.schemas.organization import (
    AdminApiKeyBody,
    CreatedAdminApiKey,
    CreatedOrganization,
    DeletedOrganization,
    OrganizationBody,
    OrganizationList,
    PublicOrganization,
)
from service.api.state import UsesAppState
from service.db.ending import archive_organization, delete_organization
from service.db.organization.api_keys import ApiKeys
from service.db.organization.key_sets import KeySet
from service.db.organization.organizations import (
    Organization,
    Organizations,
    get_organization,
    record_by_operator,
)

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
    """Creates an organization with a project and an admin key, which is shown only once. Organizations are
    isolated from each other, and the operator's key acts only in its own. A Tunery extension."""
    with state.database.write() as session:
        organization, tenant = Organizations(session).create(body.name)
        value, _ = ApiKeys(session).create_admin(tenant, name="first admin")
    return CreatedOrganization(
        **dict(_public(organization)), project_id=tenant.project_id, admin_api_key=value
    )


@router.post(
    "/{organization_id}/admin_api_keys",
    operation_id="organizations_admin_api_keys_create",
    summary="Create an admin key of an organization",
)
def create_admin_key(
    caller: Operator, state: UsesAppState, organization_id: str, body: AdminApiKeyBody
) -> CreatedAdminApiKey:
    """Creates an admin key for an organization that has lost its own. The key is shown only once. For
    requests that name no project, it acts in the organization's oldest project that is not archived. A Tunery
    extension."""
    with state.database.write() as session:
        tenant = Organizations(session).active_tenant(organization_id)
        value, id = ApiKeys(session).create_admin(
            tenant, name=body.name, expires_after_seconds=body.expires_in_seconds
        )
        data = {"key_id": id, "name": body.name}
        record_by_operator(session, caller.tenant, "organization.recovered", organization_id, data=data)
        organization = get_organization(session, organization_id)
        public = public_admin_key(KeySet.of_admins(session, organization_id).get(id), organization)
    return CreatedAdminApiKey(**dict(public), value=value)


@router.post(
    "/{organization_id}/archive", operation_id="organizations_archive", summary="Archive an organization"
)
def archive(caller: Operator, state: UsesAppState, organization_id: str) -> PublicOrganization:
    """Archives an organization permanently: its keys are revoked, all of its projects are archived, and their
    jobs are cancelled. Files and models are kept until the organization is deleted. A Tunery extension."""
    return _public(archive_organization(state.database, organization_id, operator=caller.tenant))


@router.delete("/{organization_id}", operation_id="organizations_delete", summary="Delete an organization")
def delete(caller: Operator, state: UsesAppState, organization_id: str) -> DeletedOrganization:
    """Permanently deletes an archived organization with everything that its projects own. Its audit log and
    its total usage are kept. Refused while anything of it is under a legal hold. A Tunery extension."""
    rows = delete_organization(state.database, organization_id, operator=caller.tenant)
    return DeletedOrganization(id=organization_id, rows=rows)


def _public(organization: Organization) -> PublicOrganization:
    return PublicOrganization(
        id=organization.id,
        name=organization.name,
        created_at=organization.created_at,
        status="archived" if organization.is_archived else "active",
    )
