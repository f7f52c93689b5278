"""`…/projects/{project_id}/encryption`: the key with which storage encrypts what is written for a project.

Only the operator sets keys: if a project could choose its own key, it could shift costs to other keys, or
depend on a key that the operator cannot keep."""

from fastapi import APIRouter
from sqlalchemy.orm import Session

from service.api.http.auth import Operator, OrganizationAdmin
from service.api.http.strict_json import StrictJsonRoute
from service.api.schemas.encryption import ProjectEncryption, ProjectEncryptionBody
from service.api.state import UsesAppState
from service.db.organization.organizations import Organizations
from service.db.organization.projects import Projects
from service.storage_check import check_encryption_key

router = APIRouter(route_class=StrictJsonRoute)
_OF_ADMINS = "/organization/projects/{project_id}/encryption"
_OF_THE_OPERATOR = "/organizations/{organization_id}/projects/{project_id}/encryption"


@router.get(
    _OF_ADMINS,
    operation_id="project_encryption_retrieve",
    summary="Retrieve a project's encryption",
    tags=["Projects"],
)
def retrieve_own(caller: OrganizationAdmin, state: UsesAppState, project_id: str) -> ProjectEncryption:
    """Returns the key with which storage encrypts what is written for the project. The operator sets it. A
    Tunery extension."""
    with state.database.read() as session:
        return _public(Projects(session, caller.tenant.organization_id), project_id)


@router.get(
    _OF_THE_OPERATOR,
    operation_id="organization_project_encryption_retrieve",
    summary="Retrieve the encryption of an organization's project",
    tags=["Organizations"],
)
def retrieve(
    caller: Operator, state: UsesAppState, organization_id: str, project_id: str
) -> ProjectEncryption:
    """A Tunery extension."""
    with state.database.read() as session:
        return _public(_projects(session, organization_id), project_id)


@router.post(
    _OF_THE_OPERATOR,
    operation_id="organization_project_encryption_update",
    summary="Set a project's encryption key",
    tags=["Organizations"],
)
def update(
    body: ProjectEncryptionBody, caller: Operator, state: UsesAppState, organization_id: str, project_id: str
) -> ProjectEncryption:
    """Sets the key with which storage encrypts everything written for the project from now on: files and
    parts, the output of jobs, imports and exports, and compiled data sets. Running attempts keep the
    encryption that they started with. A test object is first written with the key, to check that storage can
    use it."""
    with state.database.read() as session:
        _projects(session, organization_id).get(project_id)
    check_encryption_key(state.store, body.key)
    with state.database.write() as session:
        projects = _projects(session, organization_id)
        projects.set_encryption_key(project_id, body.key)
        return _public(projects, project_id)


@router.delete(
    _OF_THE_OPERATOR,
    operation_id="organization_project_encryption_reset",
    summary="Remove a project's encryption key",
    tags=["Organizations"],
)
def reset(caller: Operator, state: UsesAppState, organization_id: str, project_id: str) -> ProjectEncryption:
    """Objects that were written with the key can only be read with it, so keep the key for as long as they
    exist."""
    with state.database.write() as session:
        projects = _projects(session, organization_id)
        projects.set_encryption_key(project_id, None)
        return _public(projects, project_id)


def _projects(session: Session, organization_id: str) -> Projects:
    """Raises NotFound."""
    return Projects(session, Organizations(session).get(organization_id).id)


def _public(projects: Projects, project_id: str) -> ProjectEncryption:
    """Raises NotFound."""
    return ProjectEncryption(id=project_id, key=projects.encryption_key(project_id))
