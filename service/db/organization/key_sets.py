"""The active keys of a project or of an organization, without their secrets."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from cluster.contracts.errors import Conflict, NotFound
from service.db import tables
from service.db.database import now
from service.db.organization.audit_log import record
from service.db.organization.scopes import Scope
from service.db.organization.service_accounts import ServiceAccount, service_account_of
from service.db.paging import Order, Page, page
from service.db.tenancy import Tenant


@dataclass(frozen=True, slots=True)
class ApiKey:
    id: str
    tenant: Tenant
    name: str
    scopes: frozenset[Scope]
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    service_account: ServiceAccount | None
    """Its owner. None for a key of the project itself, and for an admin key."""
    issuer: str | None
    """The identity provider of the tokens that this row stands for; their subject is `name`. None for
    keys."""


class KeySet:
    """A set of keys. It excludes revoked keys and replaced operator's keys, and includes expired keys."""

    def __init__(self, session: Session, members: ColumnElement[bool]) -> None:
        self._session = session
        self._members = members

    @staticmethod
    def of_project(session: Session, tenant: Tenant) -> "KeySet":
        key = tables.ApiKey
        is_owners = key.organization_id == tenant.organization_id
        return KeySet(
            session, is_owners & (key.project_id == tenant.project_id) & key.is_admin_key.is_(False)
        )

    @staticmethod
    def of_admins(session: Session, organization_id: str) -> "KeySet":
        key = tables.ApiKey
        return KeySet(session, (key.organization_id == organization_id) & key.is_admin_key.is_(True))

    def page(self, *, after: str | None = None, limit: int, order: Order = "desc") -> Page[ApiKey]:
        """Newest first by default. Raises InvalidRequest if there never was a key `after`."""
        cursors = select(tables.ApiKey).where(self._members)
        found = page(
            self._session,
            cursors.where(*_IN_USE),
            key=(tables.ApiKey.created_at, tables.ApiKey.id),
            after=after,
            cursors=cursors,
            limit=limit,
            order=order,
        )
        return Page(self._with_owners(found.data), found.has_more)

    def get(self, id: str) -> ApiKey:
        """Raises NotFound."""
        return self._with_owners([self._row(id)])[0]

    def change(
        self, id: str, *, scopes: frozenset[Scope] | None = None, expires_after_seconds: int | None = None
    ) -> ApiKey:
        """Replaces the scopes, and sets the expiry, counted from now; None leaves either unchanged. Raises
        NotFound, and Conflict if the key has expired or stands for tokens."""
        row, at = self._row(id, for_update=True), int(now(self._session))
        if row.issuer is not None:
            raise Conflict(
                f"{id} stands for tokens of {row.issuer}. What they may do is in the operator's rules.",
                code="token_holder",
            )
        if row.expires_at is not None and row.expires_at <= at:
            raise Conflict(f"API key {id} has expired and cannot be changed.", code="expired_api_key")
        if scopes is not None:
            row.scopes = sorted(scopes)
        if expires_after_seconds is not None:
            row.expires_at = at + expires_after_seconds
        changes = {"scopes": row.scopes, "expires_at": row.expires_at}
        record(self._session, _tenant(row), "api_key.updated", id, changes_requested=changes)
        return self._with_owners([row])[0]

    def revoke(self, id: str) -> None:
        """Refuses the key, or the tokens that it stands for, from now on. Raises NotFound, and Conflict for
        the operator's key."""
        row = self._row(id, for_update=True)
        if row.is_operators:
            raise Conflict(
                "The operator's key is replaced by setting another one, in TUNERY_API_KEY or in the data "
                "folder's admin.key; it cannot be deleted.",
                code="operators_key",
            )
        row.revoked_at = int(now(self._session))
        record(self._session, _tenant(row), "api_key.deleted", id)

    def _row(self, id: str, *, for_update: bool = False) -> tables.ApiKey:
        statement = select(tables.ApiKey).where(self._members, *_IN_USE, tables.ApiKey.id == id)
        row = self._session.scalar(statement.with_for_update() if for_update else statement)
        if row is None:
            raise NotFound(f"No such API key: {id}")
        return row

    def _with_owners(self, rows: Sequence[tables.ApiKey]) -> list[ApiKey]:
        ids = {row.service_account_id for row in rows if row.service_account_id is not None}
        accounts = self._session.scalars(
            select(tables.ServiceAccount).where(tables.ServiceAccount.id.in_(ids))
        )
        owners = {account.id: service_account_of(account) for account in accounts}
        return [
            ApiKey(
                id=row.id,
                tenant=_tenant(row),
                name=row.name,
                scopes=frozenset(row.scopes),
                created_at=row.created_at,
                expires_at=row.expires_at,
                last_used_at=row.last_used_at,
                service_account=owners.get(row.service_account_id or ""),
                issuer=row.issuer,
            )
            for row in rows
        ]


def _tenant(row: tables.ApiKey) -> Tenant:
    return Tenant(row.organization_id, row.project_id)


_IN_USE = (tables.ApiKey.revoked_at.is_(None), tables.ApiKey.replaced_at.is_(None))
