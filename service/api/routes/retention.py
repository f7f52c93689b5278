"""`/v1/organization/retention` and `…/projects/{project_id}/retention`: how long data is kept."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Annotated

from fastapi import APIRouter, Query

from cluster.contracts.manifest import is_resume_file
from cluster.storage.store import ObjectInfo
from service.api.http.auth import OrganizationAdmin
from service.api.http.strict_json import StrictJsonRoute
from service.api.schemas.base import WholeNumber
from service.api.schemas.retention import (
    DueForDeletion,
    DueForDeletionList,
    OrganizationRetention,
    ProjectRetention,
    RetentionBody,
    RetentionTerm,
)
from service.api.state import AppState, UsesAppState
from service.db.database import now
from service.db.organization.projects import Projects
from service.db.retention.due import MAX_FOLDERS, Due, due_figures
from service.db.retention.holds import held_of
from service.db.retention.rules import DAY_SECONDS, KINDS, RetentionKind, Term
from service.db.retention.terms import (
    change_organization_terms,
    change_terms,
    organization_days,
    reset_organization_terms,
    reset_terms,
    terms_of,
)
from service.db.tenancy import Tenant

router = APIRouter(prefix="/organization", tags=["Retention"], route_class=StrictJsonRoute)


@router.get(
    "/retention", operation_id="organization_retention_retrieve", summary="Retrieve the default retention"
)
def retrieve_default(caller: OrganizationAdmin, state: UsesAppState) -> OrganizationRetention:
    """Returns how long projects without retention settings of their own keep their data. A Tunery
    extension."""
    return _of_organization(caller.tenant, state)


@router.post(
    "/retention", operation_id="organization_retention_update", summary="Modify the default retention"
)
def update_default(
    body: RetentionBody, caller: OrganizationAdmin, state: UsesAppState
) -> OrganizationRetention:
    with state.database.write() as session:
        rules, days = state.settings.retention, _days(body)
        change_organization_terms(session, rules, caller.tenant, days, inherited=_inherited(body))
    return _of_organization(caller.tenant, state)


@router.delete(
    "/retention", operation_id="organization_retention_reset", summary="Reset the default retention"
)
def reset_default(caller: OrganizationAdmin, state: UsesAppState) -> OrganizationRetention:
    """Resets the default retention to the server's."""
    with state.database.write() as session:
        reset_organization_terms(session, caller.tenant)
    return _of_organization(caller.tenant, state)


@router.get(
    "/projects/{project_id}/retention",
    operation_id="project_retention_retrieve",
    summary="Retrieve a project's retention",
)
def retrieve(caller: OrganizationAdmin, state: UsesAppState, project_id: str) -> ProjectRetention:
    """Returns how long the project keeps its data, and who has set that. A Tunery extension."""
    return _of_project(caller.tenant, state, project_id)


@router.post(
    "/projects/{project_id}/retention",
    operation_id="project_retention_update",
    summary="Modify a project's retention",
)
def update(
    body: RetentionBody, caller: OrganizationAdmin, state: UsesAppState, project_id: str
) -> ProjectRetention:
    """Sets the project's retention. The next sweep deletes what is due, except for what jobs, published
    models, aliases and other projects need, and what is under a legal hold."""
    with state.database.write() as session:
        tenant = Tenant(caller.tenant.organization_id, project_id)
        rules, days = state.settings.retention, _days(body)
        change_terms(session, rules, tenant, days, inherited=_inherited(body))
    return _of_project(caller.tenant, state, project_id)


@router.delete(
    "/projects/{project_id}/retention",
    operation_id="project_retention_reset",
    summary="Reset a project's retention",
)
def reset(caller: OrganizationAdmin, state: UsesAppState, project_id: str) -> ProjectRetention:
    """Resets the project's retention to the organization's, or otherwise to the server's."""
    with state.database.write() as session:
        reset_terms(session, Tenant(caller.tenant.organization_id, project_id))
    return _of_project(caller.tenant, state, project_id)


@router.get(
    "/projects/{project_id}/retention/due",
    operation_id="project_retention_due",
    summary="List what a project's retention will delete next",
)
def due(
    caller: OrganizationAdmin,
    state: UsesAppState,
    project_id: str,
    within_days: Annotated[int, Query(ge=0, le=36_500), WholeNumber] = 0,
) -> DueForDeletionList:
    """Lists what the next sweep will delete or, with `within_days`, what sweeps will delete until then if
    nothing is used in the meantime. Changes nothing."""
    with state.database.read() as session:
        project = Projects(session, caller.tenant.organization_id).get(project_id)
        terms = terms_of(session, state.settings.retention, project.id)
        at = now(session) + within_days * DAY_SECONDS
        found = due_figures(session, project.id, terms, held_of(session, project.id), at)
    # A checkpoint and its resume state share a folder.
    listed = cache(lambda folder: tuple(state.store.list(folder)))
    return DueForDeletionList(data=[_public_due(one, listed) for one in found])


def _of_project(caller: Tenant, state: AppState, project_id: str) -> ProjectRetention:
    with state.database.read() as session:
        Projects(session, caller.organization_id).get(project_id)
        terms = terms_of(session, state.settings.retention, project_id)
    return ProjectRetention(id=project_id, **_public(terms))


def _of_organization(caller: Tenant, state: AppState) -> OrganizationRetention:
    with state.database.read() as session:
        days = organization_days(session, caller.organization_id)
    terms = state.settings.retention.terms(None, days)
    return OrganizationRetention(id=caller.organization_id, **_public(terms))


def _days(body: RetentionBody) -> dict[RetentionKind, float | None]:
    given = {kind: getattr(body, kind) for kind in KINDS}
    return {
        kind: None if days == "forever" else days
        for kind, days in given.items()
        if days not in (None, "default")
    }


def _inherited(body: RetentionBody) -> list[RetentionKind]:
    return [kind for kind in KINDS if getattr(body, kind) == "default"]


def _public(terms: Mapping[RetentionKind, Term]) -> dict[str, RetentionTerm]:
    return {
        kind: RetentionTerm(days="forever" if term.days is None else term.days, set_by=term.set_by)
        for kind, term in terms.items()
    }


def _public_due(due: Due, listed: Callable[[str], Sequence[ObjectInfo]]) -> DueForDeletion:
    size: int | None = None
    if len(due.folders) <= MAX_FOLDERS:
        of_states = due.kind == "resume_states"
        size = due.bytes + sum(
            info.bytes
            for folder in due.folders
            for info in listed(folder)
            if not of_states or is_resume_file(info.key.rpartition("/")[2])
        )
    oldest_at = None if due.oldest_at is None else int(due.oldest_at)
    return DueForDeletion(kind=due.kind, count=due.count, bytes=size, oldest_at=oldest_at)
