"""What projects and keys have used of their limits on jobs and files."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from cluster.contracts.jobs import JobStatus
from service.db import tables
from service.db.database import now
from service.db.models.exports import exported_bytes
from service.db.tenancy import Tenant
from service.db.usage.device_time import device_time

DAY_SECONDS = 86_400
_IDLE = (JobStatus.PAUSED, JobStatus.PUBLISHING)
"""What needs no device, and may last for days."""
_UNDER_WAY = [status.value for status in JobStatus if not status.is_terminal and status not in _IDLE]


Owned = ColumnElement[bool]
"""Selects jobs."""


def jobs_of_project(project_id: str) -> Owned:
    return tables.Job.project_id == project_id


def jobs_of_key(key_id: str) -> Owned:
    return tables.Job.api_key_id == key_id


def num_jobs_under_way(session: Session, owned: Owned) -> int:
    """How many of the jobs have neither been trained nor paused, nor ended otherwise."""
    return session.scalar(select(func.count()).where(owned, tables.Job.status.in_(_UNDER_WAY))) or 0


def job_times_of_a_day(session: Session, owned: Owned) -> Sequence[int]:
    """When the jobs of the last 24 hours were created, oldest first."""
    created_at = tables.Job.created_at
    since = int(now(session)) - DAY_SECONDS
    return session.scalars(select(created_at).where(owned, created_at >= since).order_by(created_at)).all()


def device_seconds_this_month(session: Session, owned: Owned) -> float:
    """What the jobs' attempts have held in this calendar month (UTC)."""
    at = now(session)
    month = datetime.fromtimestamp(at, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return sum(part.device_seconds for part in device_time(session, [owned], month.timestamp(), at))


def stored_bytes(session: Session, tenant: Tenant) -> int:
    """Of the tenant's files that are neither deleted nor expired, of the parts of its uploads, and of its
    exports."""
    file, upload = tables.File, tables.Upload
    files = select(func.sum(file.bytes)).where(
        file.organization_id == tenant.organization_id,
        file.project_id == tenant.project_id,
        file.deleted_at.is_(None),
        or_(file.expires_at.is_(None), file.expires_at > int(now(session))),
    )
    parts = (
        select(func.sum(tables.UploadPart.bytes))
        .join(upload, upload.id == tables.UploadPart.upload_id)
        .where(
            upload.organization_id == tenant.organization_id,
            upload.project_id == tenant.project_id,
            upload.expires_at > int(now(session)),
        )
    )
    stored = int(session.scalar(files) or 0) + int(session.scalar(parts) or 0)
    return stored + exported_bytes(session, tenant)
