"""Maintenance of the whole installation: no job is created, and none starts, until it ends."""

from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cluster.contracts.errors import Unavailable
from service.db import tables
from service.db.database import now
from service.db.organization.audit_log import record
from service.db.tenancy import Tenant

_ROW = 1
_RETRY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Maintenance:
    since: int
    pauses_jobs: bool
    """Whether running jobs save a checkpoint and go back to the queue, instead of finishing."""


def current_maintenance(session: Session) -> Maintenance | None:
    row = session.get(tables.Maintenance, _ROW)
    return None if row is None else Maintenance(row.since, row.pauses_jobs)


def begin_maintenance(session: Session, tenant: Tenant, *, pauses_jobs: bool) -> Maintenance:
    """Starts maintenance, or changes it if it has started. `tenant` is the operator's."""
    set_maintenance(session, pauses_jobs=pauses_jobs)
    record(session, tenant, "maintenance.began", tenant.project_id, data={"pauses_jobs": pauses_jobs})
    row = session.get_one(tables.Maintenance, _ROW)
    return Maintenance(row.since, row.pauses_jobs)


def set_maintenance(session: Session, *, pauses_jobs: bool) -> None:
    with suppress(IntegrityError), session.begin_nested():
        session.add(tables.Maintenance(id=_ROW, since=int(now(session)), pauses_jobs=pauses_jobs))
    session.get_one(tables.Maintenance, _ROW, with_for_update=True).pauses_jobs = pauses_jobs
    session.flush()


def end_maintenance(session: Session, tenant: Tenant) -> None:
    """Ends maintenance. Does nothing if there is none."""
    if current_maintenance(session) is not None:
        session.execute(delete(tables.Maintenance))
        record(session, tenant, "maintenance.ended", tenant.project_id)


def check_no_maintenance(session: Session) -> None:
    """Raises Unavailable (`maintenance`)."""
    if current_maintenance(session) is not None:
        raise Unavailable(
            "No jobs are created during maintenance. Files can be uploaded, and models can be used.",
            code="maintenance",
            retry_after_seconds=_RETRY_SECONDS,
        )
