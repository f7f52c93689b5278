"""Deletes data that projects no longer keep, as a person would: a sweep then removes the objects from
storage."""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import ceil

import structlog
from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from cluster.contracts.errors import Conflict, NotFound, Unavailable
from service.db import tables
from service.db.database import Database, now
from service.db.files.files import Files
from service.db.models.models import TunedModels
from service.db.organization.audit_log import record
from service.db.organization.organizations import oldest_project
from service.db.retention.due import due_checkpoints, due_event_jobs, due_files, due_usage
from service.db.retention.holds import held_of
from service.db.retention.rules import DAY_SECONDS, RetentionKind, RetentionRules, Term
from service.db.retention.terms import all_terms
from service.db.tenancy import Tenant
from service.db.transitions import lock

MAX_DELETED = 1000
"""Maximum deletions of each kind and project in one sweep. The next sweep continues, so that no project keeps
the others waiting."""
_USAGE_SECONDS = 30 * DAY_SECONDS
_log = structlog.get_logger()
_Deletion = Callable[[Session], int]


def apply_retention(database: Database, rules: RetentionRules) -> Counter[RetentionKind]:
    """Returns how many files, checkpoints and rows were deleted. Each deletion is a transaction of its own,
    so that nobody waits for all of them; data that has become needed or held in the meantime stays."""
    deleted: Counter[RetentionKind] = Counter()
    with database.read() as session:
        projects = all_terms(session, rules)
    for tenant, terms in projects:
        try:
            for kind, deletion in _deletions(database, tenant, terms):
                deleted[kind] += _unless_needed(database, deletion)
        except Unavailable as error:
            # A full disk may refuse this. The space that a sweep frees makes room for the next one.
            _log.warning("retention interrupted", project=tenant.project_id, error=error.message)
            break
    deleted["usage"] += _delete_past_usage(database, rules)
    return +deleted


def _delete_past_usage(database: Database, rules: RetentionRules) -> int:
    """What deleted projects used is kept as long as their organization keeps usage."""
    row, organization = tables.PastUsage, tables.Organization
    with database.read() as session:
        at = now(session)
        used = select(row.organization_id, func.min(row.start)).group_by(row.organization_id).subquery()
        oldest = session.execute(
            select(organization.id, organization.retention, used.c[1]).join(
                used, used.c.organization_id == organization.id
            )
        ).all()
    count = 0
    for id, retention, start in oldest:
        seconds = rules.terms(None, retention)["usage"].seconds
        until = None if seconds is None else int((at - seconds) // DAY_SECONDS * DAY_SECONDS)
        if until is None or start >= until:
            continue
        with suppress(Unavailable), database.write(frees_space=True) as session:
            due = (row.organization_id == id, row.start < until)
            rows = session.scalar(select(func.count()).select_from(row).where(*due)) or 0
            session.execute(delete(row).where(*due))
            tenant = oldest_project(session, id)
            if tenant is not None:
                record(session, tenant, "usage.deleted", id, data={"rows": rows})
            count += rows
    return count


def _deletions(
    database: Database, tenant: Tenant, terms: Mapping[RetentionKind, Term]
) -> list[tuple[RetentionKind, _Deletion]]:
    project_id = tenant.project_id
    with database.read() as session:
        at, held = now(session), held_of(session, project_id)
        before = {kind: at - term.seconds for kind, term in terms.items() if term.seconds is not None}
        found: list[tuple[RetentionKind, _Deletion]] = []
        for kind in ("files", "results"):
            if kind in before:
                due = due_files(project_id, before[kind], held, of_jobs=kind == "results")
                ids = session.scalars(due.with_only_columns(tables.File.id).limit(MAX_DELETED))
                found += [(kind, _file(tenant, id)) for id in ids]
        if "checkpoints" in before:
            checkpoints = due_checkpoints(project_id, before["checkpoints"], held)
            names = checkpoints.with_only_columns(tables.Checkpoint.model_name).limit(MAX_DELETED)
            found += [("checkpoints", _checkpoint(tenant, name)) for name in session.scalars(names)]
        if "events" in before:
            jobs = due_event_jobs(project_id, before["events"], held)
            ids = session.scalars(jobs.with_only_columns(tables.Job.id).limit(MAX_DELETED))
            found += [("events", _events(tenant, id, before["events"])) for id in ids]
        if "usage" in before:
            due_rows = due_usage(project_id, before["usage"], held)
            ends = _usage_ends(session, due_rows, before["usage"])
            found += [("usage", _usage(tenant, until)) for until in ends]
    return found


def _unless_needed(database: Database, deletion: _Deletion) -> int:
    try:
        with database.write(frees_space=True) as session:
            return deletion(session)
    except (Conflict, NotFound):
        return 0


def _file(tenant: Tenant, id: str) -> _Deletion:
    def run(session: Session) -> int:
        Files(session, tenant).delete(id)
        return 1

    return run


def _checkpoint(tenant: Tenant, name: str) -> _Deletion:
    def run(session: Session) -> int:
        TunedModels(session, tenant).delete(name)
        return 1

    return run


def _events(tenant: Tenant, job_id: str, before: float) -> _Deletion:
    def run(session: Session) -> int:
        # Under the lock, because a failed job may be publishing again.
        lock(session, job_id)
        held = held_of(session, tenant.project_id)
        due = due_event_jobs(tenant.project_id, before, held).where(tables.Job.id == job_id)
        if session.scalar(due) is None:
            return 0
        row = tables.JobEvent
        count = session.scalar(select(func.count()).where(row.job_id == job_id)) or 0
        session.execute(delete(row).where(row.job_id == job_id))
        record(session, tenant, "fine_tuning.job.events.deleted", job_id, data={"events": count})
        return count

    return run


def _usage(tenant: Tenant, before: float) -> _Deletion:
    def run(session: Session) -> int:
        row, held = tables.Usage, held_of(session, tenant.project_id)
        due = due_usage(tenant.project_id, before, held)
        count = session.scalar(select(func.count()).select_from(row).where(due)) or 0
        session.execute(delete(row).where(due))
        record(session, tenant, "usage.deleted", tenant.project_id, data={"rows": count})
        return count

    return run


def _usage_ends(session: Session, due: ColumnElement[bool], before: float) -> list[float]:
    """The end of the period of each deletion, so that no deletion covers more than a month."""
    oldest = session.scalar(select(func.min(tables.Usage.start)).where(due))
    if oldest is None:
        return []
    ends = [oldest + months * _USAGE_SECONDS for months in range(1, ceil((before - oldest) / _USAGE_SECONDS))]
    return [*ends, before]
