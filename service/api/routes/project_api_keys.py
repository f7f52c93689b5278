"""`/v1/organization/projects/{project_id}/api_keys`: admin keys make, list and delete keys of a project."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from service.api.http.auth import OrganizationAdmin
from service.api.http.strict_json import StrictJsonRoute
from service.api.organization.public_keys import new_scopes, public_project_key
from service.api.schemas.base import Absent, OrDefault, WholeNumber
from service.api.schemas.organization import (
    CreatedProjectApiKey,
    DeletedProjectApiKey,
    ProjectApiKey,
    ProjectApiKeyBody,
    ProjectApiKeyList,
    ProjectApiKeyUpdateBody,
)
from service.api.state import UsesAppState
from service.db.organization.api_keys import ApiKeys
from service.db.organization.key_sets import KeySet
from service.db.organization.projects import Projects

router = APIRouter(
    prefix="/organization/projects/{project_id}/api_keys", tags=["Project keys"], route_class=StrictJsonRoute
)


@router.get("", operation_id="project_api_keys_list", summary="List a project's keys")
def list_keys(
    caller: OrganizationAdmin,
    state: UsesAppState,
    project_id: str,
    after: Annotated[str | Absent, OrDefault] = None,
    limit: Annotated[int, Query(ge=1, le=100), WholeNumber] = 20,
    owner_project_access: Annotated[Literal["active", "inactive", "any"] | Absent, OrDefault] = None,
) -> ProjectApiKeyList:
    """Lists the project's keys, newest first, without deleted keys and admin keys."""
    with state.database.read() as session:
        projects = Projects(session, caller.tenant.organization_id)
        project = projects.get(project_id)
        page = KeySet.of_project(session, projects.tenant(project_id)).page(after=after, limit=limit)
    data = [public_project_key(key, project) for key in page.data]
    if owner_project_access in ("active", "inactive"):
        # All keys of a project have the same access, so a page contains all of its keys or none.
        data = [key for key in data if key.owner_project_access == owner_project_access]
    return ProjectApiKeyList.of(data, has_more=page.has_more and bool(data))


@router.post("", operation_id="project_api_keys_create", summary="Create a key of a project")
def create(
    caller: OrganizationAdmin, state: UsesAppState, project_id: str, body: ProjectApiKeyBody
) -> CreatedProjectApiKey:
    """Creates a key, which is shown only once. A Tunery extension: OpenAI creates such keys on its
    website."""
    with state.database.write() as session:
        projects = Projects(session, caller.tenant.organization_id)
        tenant = projects.active_tenant(project_id)
        value, id = ApiKeys(session).create(
            tenant,
            name=body.name,
            scopes=new_scopes(body.scopes),
            expires_after_seconds=body.expires_in_seconds,
        )
        key = KeySet.of_project(session, tenant).get(id)
        public = public_project_key(key, projects.get(project_id))
    return CreatedProjectApiKey(**dict(public), value=value)


@router.get("/{api_key_id}", operation_id="project_api_keys_retrieve", summary="Retrieve a key of a project")
def retrieve(
    caller: OrganizationAdmin, state: UsesAppState, project_id: str, api_key_id: str
) -> ProjectApiKey:
    with state.database.read() as session:
        projects = Projects(session, caller.tenant.organization_id)
        key = KeySet.of_project(session, projects.tenant(project_id)).get(api_key_id)
        return public_project_key(key, projects.get(project_id))


@router.post("/{api_key_id}", operation_id="project_api_keys_update", summary="Change a key of a project")
def update(
    caller: OrganizationAdmin,
    state: UsesAppState,
    project_id: str,
    api_key_id: str,
    body: ProjectApiKeyUpdateBody,
) -> ProjectApiKey:
    """Fields that are left out stay unchanged. An expired key cannot be changed."""
    with state.database.write() as session:
        projects = Projects(session, caller.tenant.organization_id)
        key = KeySet.of_project(session, projects.active_tenant(project_id)).change(
            api_key_id,
            scopes=None if body.scopes is None else new_scopes(body.scopes),
            expires_after_seconds=body.expires_in_seconds,
        )
        return public_project_key(key, projects.get(project_id))


@router.delete("/{api_key_id}", operation_id="project_api_keys_delete", summary="Delete a key of a project")
def delete(
    caller: OrganizationAdmin, state: UsesAppState, project_id: str, api_key_id: str
) -> DeletedProjectApiKey:
    """Deletes the key, which is refused from the next request on."""
    with state.database.write(frees_space=True) as session:
        tenant = Projects(session, caller.tenant.organization_id).tenant(project_id)
        KeySet.of_project(session, tenant).revoke(api_key_id)
    return DeletedProjectApiKey(id=api_key_id)
