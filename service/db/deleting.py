"""Deletes a project with everything that it owns."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, delete, exists, func, or_, select, update
from sqlalchemy import Table as SqlTable
from sqlalchemy.orm import Session

from cluster.contracts.errors import Conflict
from service.db import tables
from service.db.database import Database, now
from service.db.organization.audit_log import record
from service.db.organization.projects import Projects
from service.db.retention.holds import check_no_hold
from service.db.tenancy import Tenant
from service.db.transitions import UNFINISHED
from service.db.usage.past_usage import keep_usage

KEPT = {
    "organizations",
    "projects",
    "audit_log",
    "past_usage",
    "leases",
    "maintenance",
    "pool_limits",
    "pool_views",
    "incoming_files",
    "superseded_folders",
}
"""Tables that hold nothing of a single project. Sweeps remove incoming files and superseded folders; the
audit log records the deletion, and past usage keeps what the project cost."""

_COUNTING_SECONDS = 60.0
"""After this time, every API process has written the usage of requests from before the archiving."""
_JOBS_AT_ONCE = 50
"""Number of jobs whose events one transaction deletes."""


def delete_events(database: Database, tenant: Tenant) -> int:
    """Deletes the events of an archived project, of which there may be millions, before the project itself:
    in many transactions, so that none is long. An interrupted deletion can be repeated. Returns the number of
    events. Raises what `delete_project` does; if it does, nothing was deleted unless the reason arose
    meanwhile."""
    count = 0
    job_ids: Sequence[str] = [""]
    while job_ids:
        with database.write(frees_space=True) as session:
            if job_ids == [""]:
                check_deletable(session, tenant)
            else:
                _lock_archived(session, tenant)
            job_ids = _next_jobs(session, tenant, after=job_ids[-1])
            events = delete(tables.JobEvent).where(tables.JobEvent.job_id.in_(job_ids))
            count += cast(CursorResult[Any], session.execute(events)).rowcount
    return count


def _next_jobs(session: Session, tenant: Tenant, *, after: str) -> Sequence[str]:
    job = tables.Job
    ids = select(job.id).where(job.project_id == tenant.project_id, job.id > after).order_by(job.id)
    return session.scalars(ids.limit(_JOBS_AT_ONCE)).all()


def delete_project(session: Session, tenant: Tenant, *, heir: Tenant | None) -> dict[str, int]:
    """Deletes every row of an archived project, and then the project. Its objects in storage are then not
    needed any more, and a later sweep frees them. Returns the number of rows of each table.

    Revoked admin keys that acted in it by default move to the project `heir`, because they may have acted in
    other projects too. If `heir` is None, which is for an organization's last project, they are deleted.
    Raises NotFound, and Conflict: `project_not_archived`, `project_busy` while something of the project may
    still write, `model_in_use` while a job of another project starts from one of its models, or `legal_hold`
    while anything of it is held."""
    row = check_deletable(session, tenant)
    keep_usage(session, tenant)
    record(session, tenant, "project.deleted", row.id, data={"name": row.name})
    if heir is not None:
        admins = update(tables.ApiKey).where(tables.ApiKey.project_id == row.id, tables.ApiKey.is_admin_key)
        session.execute(admins.values(project_id=heir.project_id))
    counts = {}
    for table, condition in owned_rows(session, tenant.project_id):
        counts[table.name] = session.scalar(select(func.count()).select_from(table).where(condition)) or 0
        session.execute(delete(table).where(condition))
    session.delete(row)
    session.flush()
    return {name: count for name, count in counts.items() if count}


def owned_rows(session: Session, project_id: str) -> Iterator[tuple[SqlTable, ColumnElement[bool]]]:
    """Every table that has rows of projects, with the condition for this project's rows. Tables that refer to
    others come first."""
    keys = select(tables.ApiKey.id).where(tables.ApiKey.project_id == project_id)
    subjects = [project_id, *session.scalars(keys)]
    conditions: dict[str, ColumnElement[bool]] = {
        "limits": tables.Limit.subject_id.in_(subjects),
        "rate_buckets": or_(
            *(tables.RateBucket.id.startswith(f"{one}/", autoescape=True) for one in subjects)
        ),
    }
    ordered = [table for table in tables.Table.metadata.sorted_tables if table.name not in KEPT]
    for table in ordered:
        if table.name not in conditions:
            conditions[table.name] = _condition(table, project_id, conditions)
    for table in reversed(ordered):
        yield table, conditions[table.name]


def _condition(
    table: SqlTable, project_id: str, conditions: dict[str, ColumnElement[bool]]
) -> ColumnElement[bool]:
    own = [table.c.project_id == project_id] if "project_id" in table.c else []
    # A permission of another project to use a model belongs to that project's rows.
    if not own or table is tables.CheckpointPermission.__table__:
        for key in table.foreign_keys:
            parent = key.column.table
            if parent.name in conditions:
                own.append(key.parent.in_(select(key.column).where(conditions[parent.name])))
    assert own, f"{table.name} belongs to no project: list it in KEPT"
    return or_(*own)


def check_deletable(session: Session, tenant: Tenant) -> tables.Project:
    """Raises what `delete_project` does."""
    row = _lock_archived(session, tenant)
    assert row.archived_at is not None
    if now(session) - row.archived_at < _COUNTING_SECONDS:
        raise _busy(row.id, "Its last requests are being counted.")
    _check_ended(session, tenant)
    return row


def _lock_archived(session: Session, tenant: Tenant) -> tables.Project:
    row = Projects(session, tenant.organization_id).lock(tenant.project_id)
    if row.archived_at is None:
        raise Conflict(
            f"Project {row.id} is in use. Archive it first.", code="project_not_archived", param="project_id"
        )
    check_no_hold(session, row.id)
    return row


def _check_ended(session: Session, tenant: Tenant) -> None:
    job, attempt = tables.Job, tables.Attempt
    is_held = attempt.released_at.is_(None) & (attempt.job_id == job.id)
    if session.scalar(select(exists().where(is_held, job.project_id == tenant.project_id))):
        raise _busy(tenant.project_id, "Its jobs are being stopped.")
    others = select(job.id, job.start_from).where(
        job.organization_id == tenant.organization_id,
        job.project_id != tenant.project_id,
        job.status.in_(UNFINISHED),
    )
    rows = (tables.Job, tables.ModelImport)
    ids = {
        id
        for row in rows
        for id in session.scalars(select(row.id).where(row.project_id == tenant.project_id))
    }
    for id, start_from in session.execute(others):
        if start_from is not None and ids.intersection(start_from.split("/")):
            raise Conflict(
                f"Job {id} of another project starts from a model of project {tenant.project_id}, and has "
                "not ended.",
                code="model_in_use",
            )


def _busy(id: str, why: str) -> Conflict:
    return Conflict(f"Project {id} cannot be deleted yet. {why} Try again in a minute.", code="project_busy")
