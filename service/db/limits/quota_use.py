"""How much projects and keys have used of their limits on jobs and files."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from cluster.contracts.jobs import JobStatus
from service.db import tables
from service.db.database import now
from service.db.files.expiry import has_not_expired
from service.db.models.exports import exported_bytes
from service.db.tenancy import Tenant
from service.db.usage.device_time import device_time
from service.db.usage.past_usage import past_device_seconds, past_job_times

DAY_SECONDS = 86_400
_IDLE = (JobStatus.PAUSED, JobStatus.PUBLISHING)
"""States that need no device and may last for days."""
_UNDER_WAY = [status.value for status in JobStatus if not status.is_terminal and status not in _IDLE]


Owned = ColumnElement[bool]
"""Selects jobs."""


def jobs_of_organization(organization_id: str) -> Owned:
    return tables.Job.organization_id == organization_id


def jobs_of_project(project_id: str) -> Owned:
    return tables.Job.project_id == project_id


def jobs_of_key(key_id: str) -> Owned:
    return tables.Job.api_key_id == key_id


def num_jobs_under_way(session: Session, owned: Owned) -> int:
    """Number of the jobs that have neither been trained nor paused, nor ended otherwise."""
    return session.scalar(select(func.count()).where(owned, tables.Job.status.in_(_UNDER_WAY))) or 0


def job_times_of_a_day(
    session: Session, owned: Owned, *, organization_id: str | None = None
) -> Sequence[int]:
    """The creation times of the jobs of the last 24 hours, oldest first. If an organization is given, jobs of
    its deleted projects count at the hour in which they ended."""
    created_at = tables.Job.created_at
    since = int(now(session)) - DAY_SECONDS
    times = session.scalars(select(created_at).where(owned, created_at >= since)).all()
    past = past_job_times(session, organization_id, since) if organization_id else []
    return sorted([*times, *past])


def device_seconds_this_month(session: Session, owned: Owned, *, organization_id: str | None = None) -> float:
    """Device-seconds of the jobs' attempts in this calendar month (UTC). If an organization is given, those
    of its deleted projects are included."""
    at = now(session)
    month = datetime.fromtimestamp(at, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    # Deleted projects first: a project that is deleted in between is then not counted twice.
    past = past_device_seconds(session, organization_id, month.timestamp()) if organization_id else 0.0
    parts = device_time(session, [owned], month.timestamp(), at)
    return past + sum(part.device_seconds for part in parts)


def stored_bytes(session: Session, tenant: Tenant, *, of_organization: bool = False) -> int:
    """Bytes of the tenant's files that are neither deleted nor expired, of the parts of its uploads, and of
    its exports; with `of_organization`, of its whole organization."""
    file, upload, export = tables.File, tables.Upload, tables.ModelExport

    def owned(row: type[tables.File] | type[tables.Upload] | type[tables.ModelExport]) -> ColumnElement[bool]:
        is_organizations = row.organization_id == tenant.organization_id
        return (
            is_organizations if of_organization else is_organizations & (row.project_id == tenant.project_id)
        )

    files = select(func.sum(file.bytes)).where(
        owned(file), file.deleted_at.is_(None), has_not_expired(now(session))
    )
    parts = (
        select(func.sum(tables.UploadPart.bytes))
        .join(upload, upload.id == tables.UploadPart.upload_id)
        .where(owned(upload), upload.expires_at > int(now(session)))
    )
    stored = int(session.scalar(files) or 0) + int(session.scalar(parts) or 0)
    return stored + exported_bytes(session, owned(export))
