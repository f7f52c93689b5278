"""The projects of an organization."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from cluster.contracts.errors import Conflict, NotFound, QuotaExceeded
from service.db import tables
from service.db.database import now
from service.db.ids import new_id
from service.db.limits.limits import Limits
from service.db.limits.names import UNLIMITED
from service.db.organization.audit_log import record
from service.db.organization.organizations import lock_organization
from service.db.organization.rights import Rights
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
        """Raises QuotaExceeded if the operator does not allow the organization another project."""
        self._check_number()
        row = tables.Project(
            id=new_id("proj_"),
            organization_id=self._organization_id,
            name=name,
            created_at=int(now(self._session)),
        )
        self._session.add(row)
        self._session.flush()
        record(self._session, self._tenant_of(row), "project.created", row.id, data={"name": name})
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
        changes = {"name": name}
        record(self._session, self._tenant_of(row), "project.updated", id, changes_requested=changes)
        return project_of(row)

    def rights(self, id: str) -> Rights:
        """Raises NotFound."""
        return Rights.of(self._row(id).rights)

    def change_rights(self, id: str, changes: Mapping[str, list[str]]) -> Rights:
        """Replaces the given fields of Rights, by name. Raises NotFound, and Conflict if the project is
        archived."""
        row = self._lock_active(id)
        row.rights = Rights.of({**(row.rights or {}), **changes}).to_json()
        record(self._session, self._tenant_of(row), "project.rights.updated", id, changes_requested=changes)
        return Rights.of(row.rights)

    def reset_rights(self, id: str) -> Rights:
        """Removes all restrictions. Raises NotFound, and Conflict if the project is archived."""
        row = self._lock_active(id)
        row.rights = None
        record(self._session, self._tenant_of(row), "project.rights.deleted", id)
        return Rights()

    def encryption_key(self, id: str) -> str | None:
        """Raises NotFound."""
        return self._row(id).encryption_key

    def set_encryption_key(self, id: str, key: str | None) -> None:
        """Sets the key with which storage encrypts what is written for the project from now on. The caller
        has checked that storage has the key. None leaves the choice to storage. Raises NotFound, and Conflict
        if the project is archived."""
        row = self._lock_active(id)
        row.encryption_key, tenant = key, self._tenant_of(row)
        if key is None:
            record(self._session, tenant, "project.encryption.deleted", id)
        else:
            changes = {"key": key}
            record(self._session, tenant, "project.encryption.updated", id, changes_requested=changes)

    def tenant(self, id: str) -> Tenant:
        """Raises NotFound."""
        return self._tenant_of(self._row(id))

    def active_tenant(self, id: str) -> Tenant:
        """Returns the project's tenant, and keeps the project from being archived until the transaction ends.
        Raises NotFound, and Conflict if it is archived."""
        return self._tenant_of(self._lock_active(id))

    def lock(self, id: str) -> tables.Project:
        """Keeps the project from being changed or archived until the transaction ends. Raises NotFound."""
        return self._row(id, for_update=True)

    def _check_number(self) -> None:
        limit = Limits(self._session).of(self._organization_id).get("projects", UNLIMITED)
        if limit == UNLIMITED:
            return
        lock_organization(self._session, self._organization_id)
        used = num_projects(self._session, self._organization_id)
        if used >= limit:
            raise QuotaExceeded(
                f"Your organization has {used} projects, and the operator allows it {limit}. Archived ones "
                "do not count."
            )

    def _tenant_of(self, row: tables.Project) -> Tenant:
        return Tenant(self._organization_id, row.id)

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


def num_projects(session: Session, organization_id: str) -> int:
    """Number of projects that are not archived."""
    row = tables.Project
    counted = select(func.count()).where(row.organization_id == organization_id, row.archived_at.is_(None))
    return session.scalar(counted) or 0


def project_of(row: tables.Project) -> Project:
    return Project(row.id, row.name, row.created_at, row.archived_at)


def lock_project(session: Session, tenant: Tenant) -> None:
    """Keeps the project from being changed or archived until the transaction ends. Call it before other rows
    are locked: archiving locks the project first and then its jobs. Rows that refer to the project can still
    be written."""
    project = select(tables.Project).where(tables.Project.id == tenant.project_id)
    session.scalar(project.with_for_update(key_share=True))


def encryption_key_of(session: Session, project_id: str) -> str | None:
    """Key with which storage encrypts what is written for the project. None leaves the choice to storage; a
    project that was deleted in the meantime has None too."""
    project = tables.Project
    return session.scalar(select(project.encryption_key).where(project.id == project_id))


def check_active(session: Session, tenant: Tenant) -> None:
    """Keeps the project from being archived until the transaction ends. Raises Conflict if it is archived, or
    was deleted in the meantime."""
    statement = select(tables.Project).where(tables.Project.id == tenant.project_id)
    row = session.scalar(statement.with_for_update(read=True))
    if row is None or row.archived_at is not None:
        raise _archived(tenant.project_id)


def _archived(id: str) -> Conflict:
    return Conflict(f"Project {id} is archived and cannot be changed.", code="project_archived")
