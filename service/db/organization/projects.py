"""The projects of an organization."""

from dataclasses import dataclass

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from cluster.contracts.errors import Conflict, NotFound
from service.db import tables
from service.db.database import now
from service.db.ids import new_id
from service.db.paging import Page, page
from service.db.tenancy import Tenant


@dataclass(frozen=True, slots=True)
class Project:
    id: str
    """`proj_…`"""
    name: str
    created_at: int
    archived_at: int | None


class Projects:
    def __init__(self, session: Session, organization_id: str) -> None:
        self._session = session
        self._organization_id = organization_id

    def create(self, name: str) -> Project:
        row = tables.Project(
            id=new_id("proj_"),
            organization_id=self._organization_id,
            name=name,
            created_at=int(now(self._session)),
        )
        self._session.add(row)
        self._session.flush()
        return project_of(row)

    def page(self, *, after: str | None = None, limit: int, include_archived: bool = False) -> Page[Project]:
        """Newest first. Raises InvalidRequest if there is no project `after`."""
        statement = self._all()
        if not include_archived:
            statement = statement.where(tables.Project.archived_at.is_(None))
        found = page(
            self._session,
            statement,
            key=(tables.Project.created_at, tables.Project.id),
            after=after,
            cursors=self._all(),
            limit=limit,
        )
        return Page([project_of(row) for row in found.data], found.has_more)

    def get(self, id: str) -> Project:
        """Raises NotFound."""
        return project_of(self._row(id))

    def rename(self, id: str, name: str) -> Project:
        """Raises NotFound, and Conflict if the project is archived."""
        row = self._lock_active(id)
        row.name = name
        return project_of(row)

    def tenant(self, id: str) -> Tenant:
        """Raises NotFound."""
        return Tenant(self._organization_id, self._row(id).id)

    def active_tenant(self, id: str) -> Tenant:
        """Also keeps the project from being archived until the transaction ends. Raises NotFound, and
        Conflict if it is archived."""
        return Tenant(self._organization_id, self._lock_active(id).id)

    def lock(self, id: str) -> tables.Project:
        """Keeps the project from being changed or archived until the transaction ends. Raises NotFound."""
        return self._row(id, for_update=True)

    def _lock_active(self, id: str) -> tables.Project:
        row = self.lock(id)
        if row.archived_at is not None:
            raise _archived(id)
        return row

    def _row(self, id: str, *, for_update: bool = False) -> tables.Project:
        statement = self._all().where(tables.Project.id == id)
        # Other transactions may still write rows that refer to the project.
        row = self._session.scalar(statement.with_for_update(key_share=True) if for_update else statement)
        if row is None:
            raise NotFound(f"No such project: {id}", code="project_not_found", param="project_id")
        return row

    def _all(self) -> Select[tables.Project]:
        return select(tables.Project).where(tables.Project.organization_id == self._organization_id)


def project_of(row: tables.Project) -> Project:
    return Project(row.id, row.name, row.created_at, row.archived_at)


def lock_project(session: Session, tenant: Tenant) -> None:
    """Keeps the project from being changed or archived until the transaction ends. Call it before other rows
    are locked: archiving locks the project and then its jobs. Rows that refer to the project can still be
    written."""
    project = select(tables.Project).where(tables.Project.id == tenant.project_id)
    session.scalar(project.with_for_update(key_share=True))


def check_active(session: Session, tenant: Tenant) -> None:
    """Keeps the project from being archived until the transaction ends. Raises Conflict if it is archived."""
    row = select(tables.Project).where(tables.Project.id == tenant.project_id)
    if session.scalars(row.with_for_update(read=True)).one().archived_at is not None:
        raise _archived(tenant.project_id)


def _archived(id: str) -> Conflict:
    return Conflict(f"Project {id} is archived and cannot be changed.", code="project_archived")
