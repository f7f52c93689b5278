"""Archives an organization, and deletes an archived one."""

from collections import Counter

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.contracts.errors import Conflict
from service.db import tables
from service.db.archiving import archive_project, cancel_jobs
from service.db.database import Database, now
from service.db.deleting import check_deletable, delete_events, delete_project
from service.db.limits.limits import Limits
from service.db.organization.audit_log import record
from service.db.organization.organizations import Organization, Organizations, record_by_operator
from service.db.tenancy import Tenant


def archive_organization(database: Database, id: str, *, operator: Tenant) -> Organization:
    """Revokes the organization's keys, and then archives its projects one by one. Archiving it again
    continues after an interruption, and archives projects that were created meanwhile.

    Raises NotFound, and Conflict (`operators_organization`) for the operator's own."""
    with database.write() as session:
        Organizations(session).get(id)
        if id == operator.organization_id:
            raise Conflict(
                "The operator's key acts in this organization; it cannot be archived.",
                code="operators_organization",
            )
        record_by_operator(session, operator, "organization.archived", id)
        _revoke_keys(session, id)
        project = tables.Project
        active = select(project.id).where(project.organization_id == id, project.archived_at.is_(None))
        project_ids = session.scalars(active.order_by(project.id)).all()
    for project_id in project_ids:
        cancel_jobs(database, id, project_id)
        with database.write(frees_space=True) as session:
            archive_project(session, id, project_id)
    with database.read() as session:
        return Organizations(session).get(id)


def delete_organization(database: Database, id: str, *, operator: Tenant) -> dict[str, int]:
    """Deletes every project of an archived organization one by one, and the organization with the last one.
    Its audit log and the totals of its projects' usage are kept. Returns the number of rows of each table.

    Raises NotFound, and Conflict before anything is deleted: `organization_not_archived`, or what
    `delete_project` raises for any of the projects. After an interruption, call it again to continue."""
    with database.write() as session:
        if not Organizations(session).get(id).is_archived:
            raise Conflict(
                f"Organization {id} is in use. Archive it first.", code="organization_not_archived"
            )
        for tenant in _projects(session, id):
            check_deletable(session, tenant)
    counts: Counter[str] = Counter()
    is_last = False
    while not is_last:
        with database.read() as session:
            first, *others = _projects(session, id)
        is_last = not others
        events = delete_events(database, first)
        with database.write(frees_space=True) as session:
            if is_last:
                record_by_operator(session, operator, "organization.deleted", id)
                Limits(session).remove(id)
            # Revoked admin keys move to a project that is deleted later, and are deleted with the last one.
            counts.update(delete_project(session, first, heir=others[0] if others else None))
        counts["job_events"] += events
    return dict(+counts)


def _projects(session: Session, organization_id: str) -> list[Tenant]:
    project = tables.Project
    ids = select(project.id).where(project.organization_id == organization_id)
    # Newest first: the organization's own entries are in its first project.
    newest = ids.order_by(project.created_at.desc(), project.id.desc())
    return [Tenant(organization_id, id) for id in session.scalars(newest)]


def _revoke_keys(session: Session, organization_id: str) -> None:
    """Revokes all keys except those of token holders, which are refused because their projects are
    archived."""
    key = tables.ApiKey
    rows = session.scalars(
        select(key)
        .where(key.organization_id == organization_id, key.revoked_at.is_(None), key.issuer.is_(None))
        .order_by(key.id)
        .with_for_update()
    )
    at = int(now(session))
    for row in rows.all():
        row.revoked_at = at
        record(session, Tenant(organization_id, row.project_id), "api_key.deleted", row.id)
    session.flush()
