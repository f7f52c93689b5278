"""The audit log: who changed what in an organization.

Each entry contains the hash of the previous one, so that no entry can be changed, removed or inserted without
changing all later hashes too."""

import json
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import event, or_, select
from sqlalchemy.orm import Session, SessionTransaction

from cluster.contracts.errors import InvalidRequest
from service.audit_chain import canonical, entry_sha256
from service.audit_types import AuditType
from service.db import tables
from service.db.database import WriteSession, now
from service.db.ids import new_id
from service.db.paging import Page
from service.db.tenancy import Tenant

_PENDING = "audit entries"
_BEFORE = "audit entries before each savepoint"


@dataclass(frozen=True, slots=True)
class Actor:
    """The sender of a request."""

    key_id: str
    request_id: str
    ip_address: str | None


acting: ContextVar[Actor | None] = ContextVar("acting", default=None)
"""The actor whose request this thread or task is handling. None for what Tunery does by itself."""


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Selects entries. An empty list does not restrict anything."""

    event_types: Sequence[str] = ()
    project_ids: Sequence[str] = ()
    actor_ids: Sequence[str] = ()
    """Ids of API keys or of service accounts."""
    resource_ids: Sequence[str] = ()
    effective_at: Mapping[str, int] = field(default_factory=dict)
    """Unix seconds by `gt`, `gte`, `lt` or `lte`."""


def record(session: Session, tenant: Tenant, type: AuditType, id: str, **details: Mapping[Any, Any]) -> None:
    """Adds an entry to the audit log when this transaction is committed. Nothing is added if the transaction,
    or the savepoint in which this is called, is rolled back.

    `tenant` is the project that the change is about, and `id` that of the changed object. `details` are
    `data` (the values at creation) or `changes_requested`, and must not contain secrets."""
    project = session.get_one(tables.Project, tenant.project_id)
    pending = session.info.setdefault(_PENDING, [])
    pending.append(_Entry(tenant, project.name, type, id, details))


class AuditLog:
    """Audit log of one organization."""

    def __init__(self, session: Session, organization_id: str) -> None:
        self._session = session
        self._organization_id = organization_id

    def page(
        self,
        wanted: AuditFilter = AuditFilter(),
        *,
        after: str | None = None,
        before: str | None = None,
        limit: int = 20,
    ) -> Page[dict[str, Any]]:
        """Entries as `record` describes them, newest first. `before` selects the page that ends with the
        entry just before that one in the list. Raises InvalidRequest if there is no entry `after` or
        `before`."""
        row = tables.AuditEntry
        statement = select(row).where(row.organization_id == self._organization_id)
        for column, values in (
            (row.type, wanted.event_types),
            (row.project_id, wanted.project_ids),
            (row.resource_id, wanted.resource_ids),
        ):
            if values:
                statement = statement.where(column.in_(values))
        if wanted.actor_ids:
            is_actor = or_(row.actor_id.in_(wanted.actor_ids), row.service_account_id.in_(wanted.actor_ids))
            statement = statement.where(is_actor)
        for name, at in wanted.effective_at.items():
            statement = statement.where(_COMPARED[name](row.effective_at, at))
        if after is not None:
            statement = statement.where(row.seq < self._seq(after, "after"))
        is_backward = before is not None and after is None
        if before is not None:
            statement = statement.where(row.seq > self._seq(before, "before"))
        order = row.seq.asc() if is_backward else row.seq.desc()
        found = self._session.scalars(statement.order_by(order).limit(limit + 1)).all()
        shown = [entry_of(one) for one in found[:limit]]
        return Page(shown[::-1] if is_backward else shown, len(found) > limit)

    def _seq(self, id: str, param: str) -> int:
        row = tables.AuditEntry
        wanted = select(row.seq).where(row.organization_id == self._organization_id, row.id == id)
        seq = self._session.scalar(wanted)
        if seq is None:
            raise InvalidRequest(f"No item with id '{id}' to list {param}.", param=param)
        return seq


def entry_of(row: tables.AuditEntry) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads(row.body)
    return entry | {"sha256": row.sha256}


@dataclass(frozen=True, slots=True)
class _Entry:
    tenant: Tenant
    project_name: str
    type: str
    id: str
    details: Mapping[str, Any]


_COMPARED: dict[str, Any] = {
    "gt": lambda column, at: column > at,
    "gte": lambda column, at: column >= at,
    "lt": lambda column, at: column < at,
    "lte": lambda column, at: column <= at,
}


@event.listens_for(WriteSession, "after_transaction_create")
def _note_savepoint(session: Session, transaction: SessionTransaction) -> None:
    if transaction.nested:
        session.info.setdefault(_BEFORE, {})[transaction] = len(session.info.get(_PENDING, ()))


@event.listens_for(WriteSession, "after_soft_rollback")
def _drop(session: Session, previous: SessionTransaction) -> None:
    """Drops what was recorded since the start of the savepoint or transaction that was rolled back."""
    del session.info.get(_PENDING, [])[session.info.get(_BEFORE, {}).get(previous, 0) :]


@event.listens_for(WriteSession, "before_commit")
def _append(session: Session) -> None:
    """Runs last in the transaction: the lock on the end of the chain is then held only during the commit, and
    no other lock is taken while it is held."""
    if session.in_nested_transaction():
        return
    # Organizations are always locked in the same order, so that transactions cannot deadlock.
    for entry in sorted(session.info.pop(_PENDING, ()), key=lambda entry: entry.tenant.organization_id):
        _add(session, entry)
    session.flush()


def _add(session: Session, entry: _Entry) -> None:
    organization = session.scalars(
        select(tables.Organization)
        .where(tables.Organization.id == entry.tenant.organization_id)
        .with_for_update(key_share=True)
    ).one()
    actor = acting.get()
    key = None if actor is None else session.get(tables.ApiKey, actor.key_id)
    account_id = None if key is None else key.service_account_id
    place = organization.audit_entries + 1
    body: dict[str, Any] = {
        "id": new_id("audit_log-"),
        "type": entry.type,
        "effective_at": int(now(session)),
        "project": {"id": entry.tenant.project_id, "name": entry.project_name},
        "actor": None if actor is None else _public_actor(actor, key),
        entry.type: {"id": entry.id, **entry.details},
        "request_id": None if actor is None else actor.request_id,
        "ip_address": None if actor is None else actor.ip_address,
        "sequence": place,
        "previous_sha256": organization.audit_sha256,
    }
    organization.audit_entries = place
    organization.audit_sha256 = entry_sha256(body)
    session.add(
        tables.AuditEntry(
            organization_id=organization.id,
            seq=place,
            id=body["id"],
            type=entry.type,
            effective_at=body["effective_at"],
            project_id=entry.tenant.project_id,
            actor_id=None if actor is None else actor.key_id,
            service_account_id=account_id,
            resource_id=entry.id,
            body=canonical(body),
            sha256=organization.audit_sha256,
        )
    )
    session.flush()


def _public_actor(actor: Actor, key: tables.ApiKey | None) -> dict[str, Any]:
    """The actor in OpenAI's format. A key without a service account is taken to be a person's."""
    if key is not None and key.issuer is not None:
        session = {"user": {"id": key.id}, "ip_address": actor.ip_address}
        return {"type": "session", "session": session | {"issuer": key.issuer, "subject": key.name}}
    account_id = None if key is None else key.service_account_id
    return {
        "type": "api_key",
        "api_key": {
            "id": actor.key_id,
            "type": "user" if account_id is None else "service_account",
            "service_account": None if account_id is None else {"id": account_id},
        },
    }
