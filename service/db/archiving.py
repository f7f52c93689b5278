"""Archiving a project."""

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from cluster.contracts.errors import Conflict
from service.db import tables
from service.db.database import now
from service.db.jobs.jobs import Jobs
from service.db.models.exports import end_exports
from service.db.models.imports import end_imports
from service.db.organization.audit_log import record
from service.db.organization.projects import Project, Projects, project_of
from service.db.tenancy import Tenant
from service.db.transitions import ENDED, lock


def archive_project(session: Session, organization_id: str, id: str) -> Project:
    """Refuses the project's keys from now on, cancels its jobs and fails its imports that have not ended,
    deletes its exports, and takes back what it was permitted to use of other projects. Its files and models
    stay, for the projects that may use them too. Archiving it again changes nothing.

    Raises NotFound, and Conflict (`default_project`) for the project that admin keys act in by default."""
    row = Projects(session, organization_id).lock(id)
    if row.archived_at is not None:
        return project_of(row)
    if session.scalar(select(exists().where(tables.ApiKey.project_id == id, _IS_ADMIN_KEY))):
        raise Conflict(
            f"Admin keys act in project {id} by default; it cannot be archived.", code="default_project"
        )
    row.archived_at = int(now(session))
    session.flush()
    tenant = Tenant(organization_id, id)
    record(session, tenant, "project.archived", id)
    permissions = tables.CheckpointPermission
    session.execute(delete(permissions).where(permissions.project_id == id))
    jobs = Jobs(session, tenant)
    unended = select(tables.Job.id).where(tables.Job.project_id == id, tables.Job.status.not_in(ENDED))
    for job_id in session.scalars(unended.order_by(tables.Job.id)).all():
        # It may have ended since it was read.
        job = lock(session, job_id)
        if job is not None and job.status not in ENDED:
            jobs.cancel(job_id)
    end_imports(session, id)
    end_exports(session, id)
    return project_of(row)


_IS_ADMIN_KEY = (
    tables.ApiKey.is_admin_key
    & tables.ApiKey.issuer.is_(None)
    & tables.ApiKey.revoked_at.is_(None)
    & tables.ApiKey.replaced_at.is_(None)
)
