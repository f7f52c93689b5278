"""`/v1/organization/projects/{project_id}/service_accounts`: the programs that use a project."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy.orm import Session

from service.api.http.auth import OrganizationAdmin
from service.api.http.strict_json import StrictJsonRoute
from service.api.organization.public_keys import new_scopes
from service.api.schemas.base import Absent, OrDefault, WholeNumber
from service.api.schemas.organization import (
    CreatedServiceAccount,
    DeletedServiceAccount,
    ProjectServiceAccount,
    ProjectServiceAccountList,
    ServiceAccountBody,
    ServiceAccountKey,
    ServiceAccountKeyBody,
    ServiceAccountUpdateBody,
)
from service.api.state import UsesAppState
from service.db.organization.api_keys import ApiKeys
from service.db.organization.key_sets import KeySet
from service.db.organization.projects import Projects
from service.db.organization.scopes import Scope
from service.db.organization.service_accounts import ServiceAccount, ServiceAccounts
from service.db.tenancy import Tenant

router = APIRouter(
    prefix="/organization/projects/{project_id}/service_accounts",
    tags=["Service accounts"],
    route_class=StrictJsonRoute,
)


@router.get("", operation_id="service_accounts_list", summary="List service accounts")
def list_accounts(
    caller: OrganizationAdmin,
    state: UsesAppState,
    project_id: str,
    after: Annotated[str | Absent, OrDefault] = None,
    limit: Annotated[int, Query(ge=1, le=100), WholeNumber] = 20,
) -> ProjectServiceAccountList:
    """Lists service accounts, newest first."""
    with state.database.read() as session:
        tenant = Projects(session, caller.tenant.organization_id).tenant(project_id)
        page = ServiceAccounts(session, tenant).page(after=after, limit=limit)
    return ProjectServiceAccountList.of([_public(account) for account in page.data], has_more=page.has_more)


@router.post("", operation_id="service_accounts_create", summary="Create a service account")
def create(
    caller: OrganizationAdmin, state: UsesAppState, project_id: str, body: ServiceAccountBody
) -> CreatedServiceAccount:
    """Creates a service account and its first key, which is shown only once."""
    with state.database.write() as session:
        tenant = Projects(session, caller.tenant.organization_id).active_tenant(project_id)
        account = ServiceAccounts(session, tenant).create(body.name)
        key = None
        if not body.create_service_account_only:
            key = _new_key(session, tenant, account, body.name, body.scopes, body.expires_in_seconds)
    return CreatedServiceAccount(**dict(_public(account)), api_key=key)


@router.get(
    "/{service_account_id}", operation_id="service_accounts_retrieve", summary="Retrieve a service account"
)
def retrieve(
    caller: OrganizationAdmin, state: UsesAppState, project_id: str, service_account_id: str
) -> ProjectServiceAccount:
    with state.database.read() as session:
        tenant = Projects(session, caller.tenant.organization_id).tenant(project_id)
        return _public(ServiceAccounts(session, tenant).get(service_account_id))


@router.post(
    "/{service_account_id}", operation_id="service_accounts_update", summary="Rename a service account"
)
def update(
    caller: OrganizationAdmin,
    state: UsesAppState,
    project_id: str,
    service_account_id: str,
    body: ServiceAccountUpdateBody,
) -> ProjectServiceAccount:
    with state.database.write() as session:
        tenant = Projects(session, caller.tenant.organization_id).active_tenant(project_id)
        accounts = ServiceAccounts(session, tenant)
        if body.name is None:
            return _public(accounts.get(service_account_id))
        return _public(accounts.rename(service_account_id, body.name))


@router.delete(
    "/{service_account_id}", operation_id="service_accounts_delete", summary="Delete a service account"
)
def delete(
    caller: OrganizationAdmin, state: UsesAppState, project_id: str, service_account_id: str
) -> DeletedServiceAccount:
    """Deletes the service account. Its keys are refused from the next request on."""
    with state.database.write(frees_space=True) as session:
        tenant = Projects(session, caller.tenant.organization_id).tenant(project_id)
        ServiceAccounts(session, tenant).delete(service_account_id)
    return DeletedServiceAccount(id=service_account_id)


@router.post(
    "/{service_account_id}/api_keys",
    operation_id="service_account_api_keys_create",
    summary="Create a key of a service account",
)
def create_key(
    caller: OrganizationAdmin,
    state: UsesAppState,
    project_id: str,
    service_account_id: str,
    body: ServiceAccountKeyBody,
) -> ServiceAccountKey:
    """Creates a key, which is shown only once. To rotate keys, create a second one, switch to it, and delete
    the first."""
    with state.database.write() as session:
        tenant = Projects(session, caller.tenant.organization_id).active_tenant(project_id)
        account = ServiceAccounts(session, tenant).get_and_lock(service_account_id)
        name = body.name or account.name
        return _new_key(session, tenant, account, name, body.scopes, body.expires_in_seconds)


def _new_key(
    session: Session,
    tenant: Tenant,
    account: ServiceAccount,
    name: str,
    scopes: Sequence[Scope],
    expires_in_seconds: int | None,
) -> ServiceAccountKey:
    value, id = ApiKeys(session).create(
        tenant,
        name=name,
        scopes=new_scopes(scopes),
        expires_after_seconds=expires_in_seconds,
        service_account_id=account.id,
    )
    key = KeySet.of_project(session, tenant).get(id)
    return ServiceAccountKey(
        id=key.id, name=key.name, value=value, created_at=key.created_at, expires_at=key.expires_at
    )


def _public(account: ServiceAccount) -> ProjectServiceAccount:
    return ProjectServiceAccount(id=account.id, name=account.name, created_at=account.created_at)
