"""Service accounts: the programs that use a project."""

from dataclasses import dataclass

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from cluster.contracts.errors import NotFound
from service.db import tables
from service.db.database import now
from service.db.ids import new_id
from service.db.organization.audit_log import record
from service.db.paging import Page, page
from service.db.tenancy import Tenant


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    id: str
    """`svc_acct_…`"""
    name: str
    created_at: int


class ServiceAccounts:
    """The service accounts of one project."""

    def __init__(self, session: Session, tenant: Tenant) -> None:
        self._session = session
        self._tenant = tenant

    def create(self, name: str) -> ServiceAccount:
        row = tables.ServiceAccount(
            id=new_id("svc_acct_"),
            organization_id=self._tenant.organization_id,
            project_id=self._tenant.project_id,
            name=name,
            created_at=int(now(self._session)),
        )
        self._session.add(row)
        self._session.flush()
        record(self._session, self._tenant, "service_account.created", row.id, data={"name": name})
        return service_account_of(row)

    def page(self, *, after: str | None = None, limit: int) -> Page[ServiceAccount]:
        """Newest first. Raises InvalidRequest if there never was a service account `after`."""
        found = page(
            self._session,
            self._all().where(tables.ServiceAccount.deleted_at.is_(None)),
            key=(tables.ServiceAccount.created_at, tables.ServiceAccount.id),
            after=after,
            cursors=self._all(),
            limit=limit,
        )
        return Page([service_account_of(row) for row in found.data], found.has_more)

    def get(self, id: str) -> ServiceAccount:
        """Raises NotFound."""
        return service_account_of(self._row(id))

    def get_and_lock(self, id: str) -> ServiceAccount:
        """Returns the account, and keeps it from being deleted until the transaction ends. Raises
        NotFound."""
        return service_account_of(self._row(id, for_update=True))

    def rename(self, id: str, name: str) -> ServiceAccount:
        """Raises NotFound."""
        row = self._row(id, for_update=True)
        row.name = name
        changes = {"name": name}
        record(self._session, self._tenant, "service_account.updated", id, changes_requested=changes)
        return service_account_of(row)

    def delete(self, id: str) -> None:
        """Deletes the account and revokes its keys. Raises NotFound."""
        row, at = self._row(id, for_update=True), int(now(self._session))
        row.deleted_at = at
        keys = update(tables.ApiKey).where(tables.ApiKey.service_account_id == id)
        self._session.execute(keys.where(tables.ApiKey.revoked_at.is_(None)).values(revoked_at=at))
        record(self._session, self._tenant, "service_account.deleted", id)

    def _all(self) -> Select[tables.ServiceAccount]:
        return select(tables.ServiceAccount).where(
            tables.ServiceAccount.organization_id == self._tenant.organization_id,
            tables.ServiceAccount.project_id == self._tenant.project_id,
        )

    def _row(self, id: str, *, for_update: bool = False) -> tables.ServiceAccount:
        statement = self._all().where(
            tables.ServiceAccount.id == id, tables.ServiceAccount.deleted_at.is_(None)
        )
        row = self._session.scalar(statement.with_for_update() if for_update else statement)
        if row is None:
            raise NotFound(f"No such service account: {id}")
        return row


def service_account_of(row: tables.ServiceAccount) -> ServiceAccount:
    return ServiceAccount(row.id, row.name, row.created_at)
