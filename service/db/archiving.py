"""Archiving a project."""

from collections.abc import Sequence

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from cluster.contracts.errors import Conflict
from service.db import tables
from service.db.database import Database, now
from service.db.jobs.jobs import Jobs
from service.db.models.exports import end_exports
from service.db.models.imports import end_imports
from service.db.organization.audit_log import record
from service.db.organization.projects import Project, Projects, project_of
from service.db.tenancy import Tenant
from service.db.transitions import ENDED, UNFINISHED, lock


def cancel_jobs(database: Database, organization_id: str, id: str) -> None:
    """Cancels all but the last few of a project's unended jobs, before it is archived: in many transactions,
    so that none is long. Raises what `archive_project` does."""
    are_left = True
    while are_left:
        with database.write(frees_space=True) as session:
            if _lock(session, organization_id, id).archived_at is not None:
                return
            job_ids = _unended_jobs(session, id, limit=_JOBS_AT_ONCE + 1)
            are_left = len(job_ids) > _JOBS_AT_ONCE
            if are_left:
                _cancel(session, Tenant(organization_id, id), job_ids[:_JOBS_AT_ONCE])


def archive_project(session: Session, organization_id: str, id: str) -> Project:
    """Refuses the project's keys from now on, cancels its unended jobs, fails its unended imports, deletes
    its exports, and withdraws its permissions to use other projects' models. Its own files and models stay,
    for the projects that may use them too. Archiving it again changes nothing.

    Raises NotFound, and Conflict (`default_project`) for the project in which admin keys act by default."""
    row = _lock(session, organization_id, id)
    if row.archived_at is not None:
        return project_of(row)
    row.archived_at = int(now(session))
    session.flush()
    tenant = Tenant(organization_id, id)
    record(session, tenant, "project.archived", id)
    permissions = tables.CheckpointPermission
    session.execute(delete(permissions).where(permissions.project_id == id))
    _cancel(session, tenant, _unended_jobs(session, id))
    end_imports(session, id)
    end_exports(session, id)
    return project_of(row)


def _lock(session: Session, organization_id: str, id: str) -> tables.Project:
    row = Projects(session, organization_id).lock(id)
    is_default = exists().where(tables.ApiKey.project_id == id, _IS_ADMIN_KEY)
    if row.archived_at is None and session.scalar(select(is_default)):
        raise Conflict(
            f"Admin keys act in project {id} by default; it cannot be archived.", code="default_project"
        )
    return row


def _unended_jobs(session: Session, project_id: str, *, limit: int | None = None) -> Sequence[str]:
    job = tables.Job
    unended = select(job.id).where(job.project_id == project_id, job.status.in_(UNFINISHED))
    return session.scalars(unended.order_by(job.id).limit(limit)).all()


def _cancel(session: Session, tenant: Tenant, job_ids: Sequence[str]) -> None:
    jobs = Jobs(session, tenant)
    for job_id in job_ids:
        # The job may have ended since it was read.
        job = lock(session, job_id)
        if job is not None and job.status not in ENDED:
            jobs.cancel(job_id)


_JOBS_AT_ONCE = 100
"""Jobs that one transaction cancels."""
_IS_ADMIN_KEY = (
    tables.ApiKey.is_admin_key
    & tables.ApiKey.issuer.is_(None)
    & tables.ApiKey.revoked_at.is_(None)
    & tables.ApiKey.replaced_at.is_(None)
)
