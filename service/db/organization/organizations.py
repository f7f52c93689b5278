"""Organizations, which own projects and cannot see each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, exists, select
from sqlalchemy.orm import Session

from cluster.contracts.errors import Conflict, NotFound
from service.audit_types import AuditType
from service.db import tables
from service.db.database import now
from service.db.ids import new_id
from service.db.organization.audit_log import record
from service.db.paging import Page, page
from service.db.tenancy import Tenant

_FIRST_PROJECT = "default"


@dataclass(frozen=True, slots=True)
class Organization:
    id: str
    """`org-…`"""
    name: str
    created_at: int
    is_archived: bool = False
    """Whether all of its projects are archived."""


def get_organization(session: Session, id: str) -> Organization:
    return _organization_of(session.get_one(tables.Organization, id))


def lock_organization(session: Session, id: str) -> None:
    """Makes others that lock the organization wait until the transaction ends. Call it after the project is
    locked. Rows that refer to the organization can still be written."""
    organization = select(tables.Organization.id).where(tables.Organization.id == id)
    session.scalar(organization.with_for_update(key_share=True))


def record_by_operator(
    session: Session, operator: Tenant, type: AuditType, organization_id: str, **details: Mapping[Any, Any]
) -> None:
    """Records the operator's change of an organization in the operator's own audit log, and in the
    organization's as a change of its oldest project."""
    record(session, operator, type, organization_id, **details)
    if organization_id != operator.organization_id:
        oldest = oldest_project(session, organization_id)
        if oldest is not None:
            record(session, oldest, type, organization_id, **details)


def oldest_project(session: Session, organization_id: str) -> Tenant | None:
    """Under which the organization's own entries of the audit log are. None once the organization was
    deleted."""
    project = tables.Project
    oldest = select(project.id).where(project.organization_id == organization_id)
    project_id = session.scalar(oldest.order_by(project.created_at, project.id).limit(1))
    return None if project_id is None else Tenant(organization_id, project_id)


class Organizations:
    """All organizations of the installation, for the operator only. An organization without any project was
    deleted, and is absent."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def create(self, name: str) -> tuple[Organization, Tenant]:
        """Creates an organization with a first project, in which its admin keys act by default."""
        at = int(now(self._session))
        row = tables.Organization(id=new_id("org-"), name=name, created_at=at)
        self._session.add(row)
        self._session.flush()
        tenant = Tenant(row.id, new_id("proj_"))
        self._session.add(
            tables.Project(id=tenant.project_id, organization_id=row.id, name=_FIRST_PROJECT, created_at=at)
        )
        self._session.flush()
        record(self._session, tenant, "organization.created", row.id, data={"name": name})
        return _organization_of(row), tenant

    def get(self, id: str) -> Organization:
        """Raises NotFound."""
        row = self._session.scalar(self._all().where(tables.Organization.id == id))
        if row is None:
            raise NotFound(f"No such organization: {id}", param="organization_id")
        return _organization_of(row, is_archived=not self._active([id]))

    def active_tenant(self, id: str) -> Tenant:
        """The organization's oldest project that is not archived. Raises NotFound, and Conflict
        (`organization_archived`) if there is none."""
        self.get(id)
        project = tables.Project
        active = select(project.id).where(project.organization_id == id, project.archived_at.is_(None))
        found = self._session.scalar(
            active.order_by(project.created_at, project.id).limit(1).with_for_update(key_share=True)
        )
        if found is None:
            raise Conflict(f"Organization {id} is archived.", code="organization_archived")
        return Tenant(id, found)

    def page(self, *, after: str | None = None, limit: int) -> Page[Organization]:
        """Newest first. Raises InvalidRequest if there is no organization `after`."""
        rows = self._all()
        key = (tables.Organization.created_at, tables.Organization.id)
        found = page(self._session, rows, key=key, after=after, cursors=rows, limit=limit)
        active = self._active([row.id for row in found.data])
        data = [_organization_of(row, is_archived=row.id not in active) for row in found.data]
        return Page(data, found.has_more)

    def _all(self) -> Select[tables.Organization]:
        owned = exists().where(tables.Project.organization_id == tables.Organization.id)
        return select(tables.Organization).where(owned)

    def _active(self, ids: Sequence[str]) -> set[str]:
        """Returns the ids of those that have a project that is not archived."""
        project = tables.Project
        wanted = select(project.organization_id).where(
            project.organization_id.in_(ids), project.archived_at.is_(None)
        )
        return set(self._session.scalars(wanted.distinct()))


def _organization_of(row: tables.Organization, *, is_archived: bool = False) -> Organization:
    return Organization(row.id, row.name, row.created_at, is_archived)
