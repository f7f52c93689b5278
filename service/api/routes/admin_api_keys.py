"""`/v1/organization/admin_api_keys`: keys that manage the organization and act in all of its projects."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from service.api.http.auth import OrganizationAdmin
from service.api.http.strict_json import StrictJsonRoute
from service.api.organization.public_keys import public_admin_key
from service.api.schemas.base import Absent, OrDefault, WholeNumber
from service.api.schemas.organization import (
    AdminApiKey,
    AdminApiKeyBody,
    AdminApiKeyList,
    CreatedAdminApiKey,
    DeletedAdminApiKey,
)
from service.api.state import UsesAppState
from service.db.organization.api_keys import ApiKeys
from service.db.organization.key_sets import KeySet
from service.db.organization.organizations import get_organization
from service.db.organization.projects import Projects

router = APIRouter(prefix="/organization/admin_api_keys", tags=["Admin keys"], route_class=StrictJsonRoute)


@router.get("", operation_id="admin_api_keys_list", summary="List admin keys")
def list_keys(
    caller: OrganizationAdmin,
    state: UsesAppState,
    after: Annotated[str | Absent, OrDefault] = None,
    limit: Annotated[int, Query(ge=1, le=100), WholeNumber] = 20,
    order: Annotated[Literal["asc", "desc"], OrDefault] = "desc",
) -> AdminApiKeyList:
    """Lists the admin keys, including the operator's key."""
    with state.database.read() as session:
        organization = get_organization(session, caller.tenant.organization_id)
        page = KeySet.of_admins(session, organization.id).page(after=after, limit=limit, order=order)
    data = [public_admin_key(key, organization) for key in page.data]
    return AdminApiKeyList.of(data, has_more=page.has_more)


@router.post("", operation_id="admin_api_keys_create", summary="Create an admin key")
def create(caller: OrganizationAdmin, state: UsesAppState, body: AdminApiKeyBody) -> CreatedAdminApiKey:
    """Creates an admin key, which is shown only once. For requests that name no project, it acts in the
    project that the key that created it was acting in."""
    with state.database.write() as session:
        organization = get_organization(session, caller.tenant.organization_id)
        tenant = Projects(session, organization.id).active_tenant(caller.tenant.project_id)
        value, id = ApiKeys(session).create_admin(
            tenant, name=body.name, expires_after_seconds=body.expires_in_seconds
        )
        public = public_admin_key(KeySet.of_admins(session, organization.id).get(id), organization)
    return CreatedAdminApiKey(**dict(public), value=value)


@router.get("/{key_id}", operation_id="admin_api_keys_retrieve", summary="Retrieve an admin key")
def retrieve(caller: OrganizationAdmin, state: UsesAppState, key_id: str) -> AdminApiKey:
    with state.database.read() as session:
        organization = get_organization(session, caller.tenant.organization_id)
        return public_admin_key(KeySet.of_admins(session, organization.id).get(key_id), organization)


@router.delete("/{key_id}", operation_id="admin_api_keys_delete", summary="Delete an admin key")
def delete(caller: OrganizationAdmin, state: UsesAppState, key_id: str) -> DeletedAdminApiKey:
    """Deletes an admin key, which is refused from the next request on. The operator's key cannot be deleted;
    set another one to replace it."""
    with state.database.write(frees_space=True) as session:
        KeySet.of_admins(session, caller.tenant.organization_id).revoke(key_id)
    return DeletedAdminApiKey(id=key_id)
