"""`/v1/organization/projects`: admin keys create, list, rename and archive projects."""

from typing import Annotated

from fastapi import APIRouter, Query

from service.api.http.auth import OrganizationAdmin
from service.api.http.strict_json import StrictJsonRoute
from service.api.schemas.base import Absent, Flag, OrDefault, WholeNumber
from service.api.schemas.organization import (
    DeletedProject,
    OrganizationProject,
    OrganizationProjectList,
    ProjectBody,
    ProjectUpdateBody,
)
from service.api.state import UsesAppState
from service.db.archiving import archive_project, cancel_jobs
from service.db.deleting import delete_events, delete_project
from service.db.organization.projects import Project, Projects

router = APIRouter(prefix="/organization/projects", tags=["Projects"], route_class=StrictJsonRoute)


@router.get("", operation_id="projects_list", summary="List projects")
def list_projects(
    caller: OrganizationAdmin,
    state: UsesAppState,
    after: Annotated[str | Absent, OrDefault] = None,
    limit: Annotated[int, Query(ge=1, le=100), WholeNumber] = 20,
    include_archived: Annotated[bool, Flag] = False,
) -> OrganizationProjectList:
    """Lists projects, newest first."""
    with state.database.read() as session:
        projects = Projects(session, caller.tenant.organization_id)
        page = projects.page(after=after, limit=limit, include_archived=include_archived)
    return OrganizationProjectList.of([_public(project) for project in page.data], has_more=page.has_more)


@router.post("", operation_id="projects_create", summary="Create a project")
def create(caller: OrganizationAdmin, state: UsesAppState, body: ProjectBody) -> OrganizationProject:
    with state.database.write() as session:
        return _public(Projects(session, caller.tenant.organization_id).create(body.name))


@router.get("/{project_id}", operation_id="projects_retrieve", summary="Retrieve a project")
def retrieve(caller: OrganizationAdmin, state: UsesAppState, project_id: str) -> OrganizationProject:
    with state.database.read() as session:
        return _public(Projects(session, caller.tenant.organization_id).get(project_id))


@router.post("/{project_id}", operation_id="projects_update", summary="Rename a project")
def update(
    caller: OrganizationAdmin, state: UsesAppState, project_id: str, body: ProjectUpdateBody
) -> OrganizationProject:
    with state.database.write() as session:
        projects = Projects(session, caller.tenant.organization_id)
        if body.name is None:
            return _public(projects.get(project_id))
        return _public(projects.rename(project_id, body.name))


@router.post("/{project_id}/archive", operation_id="projects_archive", summary="Archive a project")
def archive(caller: OrganizationAdmin, state: UsesAppState, project_id: str) -> OrganizationProject:
    """Archives the project permanently. Its keys are refused immediately, and its jobs that have not ended
    are cancelled. Its files and models are kept, and other projects may still use what it shares with them.
    The project that admin keys act in by default cannot be archived."""
    cancel_jobs(state.database, caller.tenant.organization_id, project_id)
    with state.database.write(frees_space=True) as session:
        return _public(archive_project(session, caller.tenant.organization_id, project_id))


@router.delete("/{project_id}", operation_id="projects_delete", summary="Delete a project")
def delete(caller: OrganizationAdmin, state: UsesAppState, project_id: str) -> DeletedProject:
    """Permanently deletes an archived project with everything in it: files, jobs with their events, models,
    usage, keys and webhooks. The next sweep frees its storage. Models that it shared are no longer available
    to other projects either. A Tunery extension."""
    with state.database.read() as session:
        tenant = Projects(session, caller.tenant.organization_id).tenant(project_id)
    events = delete_events(state.database, tenant)
    with state.database.write(frees_space=True) as session:
        rows = delete_project(session, tenant, heir=caller.tenant)
    if events:
        rows["job_events"] = rows.get("job_events", 0) + events
    return DeletedProject(id=project_id, rows=rows)


def _public(project: Project) -> OrganizationProject:
    return OrganizationProject(
        id=project.id,
        name=project.name,
        created_at=project.created_at,
        archived_at=project.archived_at,
        status="active" if project.archived_at is None else "archived",
    )
