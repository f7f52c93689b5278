"""`/v1/organization/projects/{project_id}/rights`: which base models and methods a project may use."""

from fastapi import APIRouter

from cluster.contracts.errors import InvalidRequest
from service.api.http.auth import OrganizationAdmin
from service.api.http.strict_json import StrictJsonRoute
from service.api.schemas.rights import ProjectRights, ProjectRightsBody
from service.api.state import UsesAppState
from service.db.organization.projects import Projects
from service.db.organization.rights import Rights

router = APIRouter(
    prefix="/organization/projects/{project_id}/rights", tags=["Projects"], route_class=StrictJsonRoute
)


@router.get("", operation_id="project_rights_retrieve", summary="Retrieve a project's rights")
def retrieve(caller: OrganizationAdmin, state: UsesAppState, project_id: str) -> ProjectRights:
    """A Tunery extension."""
    with state.database.read() as session:
        return _public(project_id, Projects(session, caller.tenant.organization_id).rights(project_id))


@router.post("", operation_id="project_rights_update", summary="Modify a project's rights")
def update(
    caller: OrganizationAdmin, state: UsesAppState, project_id: str, body: ProjectRightsBody
) -> ProjectRights:
    """Sets the project's rights, which apply to requests and jobs from now on. Models that were tuned before
    stay usable."""
    changes = body.model_dump(exclude_none=True)
    unknown = [alias for alias in changes.get("models", ()) if alias not in state.catalogue]
    if unknown:
        raise InvalidRequest(
            f"No base model of this server is called '{unknown[0]}'. GET /v1/models lists them.",
            code="model_not_found",
            param="models",
        )
    with state.database.write() as session:
        projects = Projects(session, caller.tenant.organization_id)
        return _public(project_id, projects.change_rights(project_id, changes))


@router.delete("", operation_id="project_rights_reset", summary="Remove a project's restrictions")
def reset(caller: OrganizationAdmin, state: UsesAppState, project_id: str) -> ProjectRights:
    with state.database.write() as session:
        projects = Projects(session, caller.tenant.organization_id)
        return _public(project_id, projects.reset_rights(project_id))


def _public(project_id: str, rights: Rights) -> ProjectRights:
    return ProjectRights(id=project_id, **rights.to_json())
