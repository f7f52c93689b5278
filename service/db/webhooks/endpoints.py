"""Webhook endpoints of a project, and their deliveries."""

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from cluster.contracts.errors import Conflict, InvalidRequest, NotFound
from service.db import tables
from service.db.database import now
from service.db.ids import new_id
from service.db.organization.audit_log import record
from service.db.organization.projects import lock_project
from service.db.paging import Page, page
from service.db.tenancy import Tenant
from service.db.webhooks.queue import GIVE_UP_SECONDS, disable

MAX_ENDPOINTS = 20
"""Maximum number of endpoints of one project."""
_TWO_SECRETS_SECONDS = 24 * 3600.0
DeliveryStatus = Literal["pending", "delivered", "failed"]


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    id: str
    """`we_…`"""
    name: str
    url: str
    event_types: Sequence[str]
    secret_hint: str
    created_at: int
    updated_at: int
    disabled_at: int | None
    disabled_reason: str | None
    failures: int
    """Failed tries since the last success."""


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """An event for one endpoint, and the last try to deliver it."""

    id: str
    endpoint_id: str
    event_id: str
    event_type: str
    status: DeliveryStatus
    tries: int
    next_try_at: int | None
    created_at: int
    tried_at: int | None
    status_code: int | None
    error: str | None
    response: str | None


class WebhookEndpoints:
    """The endpoints of one tenant. Every method with an id raises NotFound if the tenant has no such
    endpoint."""

    def __init__(self, session: Session, tenant: Tenant) -> None:
        self._session = session
        self._tenant = tenant

    def create(self, *, name: str, url: str, event_types: Sequence[str]) -> tuple[str, WebhookEndpoint]:
        """Returns the signing secret, which is not shown again, and the endpoint. `url` has been checked by
        the caller. Raises InvalidRequest if the project already has the maximum number of endpoints."""
        lock_project(self._session, self._tenant)
        count = self._session.scalar(select(func.count()).select_from(self._all().subquery()))
        if count is not None and count >= MAX_ENDPOINTS:
            raise InvalidRequest(
                f"This project has {count} webhook endpoints, and may not have more. Delete one first.",
                code="too_many_endpoints",
            )
        at = int(now(self._session))
        row = tables.WebhookEndpoint(
            id=new_id("we_"),
            organization_id=self._tenant.organization_id,
            project_id=self._tenant.project_id,
            name=name,
            url=url,
            event_types=_unique(event_types),
            secret=_new_secret(),
            created_at=at,
            updated_at=at,
            failures=0,
            held_until=0.0,
            claimed_until=0.0,
        )
        self._session.add(row)
        self._session.flush()
        data = {"name": name, "url": _without_secrets(url), "event_types": row.event_types}
        record(self._session, self._tenant, "webhook_endpoint.created", row.id, data=data)
        return row.secret, _endpoint_of(row)

    def get(self, id: str) -> WebhookEndpoint:
        return _endpoint_of(self._row(id))

    def list(self, *, after: str | None = None, limit: int = 20) -> Page[WebhookEndpoint]:
        """Newest first. Raises InvalidRequest if there is no endpoint `after`."""
        key = (tables.WebhookEndpoint.created_at, tables.WebhookEndpoint.id)
        found = page(self._session, self._all(), key=key, after=after, cursors=self._all(), limit=limit)
        return Page([_endpoint_of(row) for row in found.data], found.has_more)

    def update(self, id: str, **changes: Any) -> WebhookEndpoint:
        """Sets those of `name`, `url` and `event_types` that are given. A new URL is tried at once."""
        row = self._row(id, is_locked=True)
        if "event_types" in changes:
            changes["event_types"] = _unique(changes["event_types"])
        changed = {field for field, value in changes.items() if getattr(row, field) != value}
        for field in changed:
            setattr(row, field, changes[field])
        if "url" in changed:
            _forget_failures(row)
        if changed:
            row.updated_at = int(now(self._session))
            shown = {"url": _without_secrets(changes["url"])} if "url" in changes else {}
            self._record_update(id, changes | shown)
        self._session.flush()
        return _endpoint_of(row)

    def delete(self, id: str) -> None:
        """Deletes the endpoint and its deliveries. A delivery that is being sent may still arrive."""
        self._session.delete(self._row(id, is_locked=True))
        self._session.flush()
        record(self._session, self._tenant, "webhook_endpoint.deleted", id)

    def rotate_secret(self, id: str, *, keeps_old: bool) -> tuple[str, WebhookEndpoint]:
        """Returns the new secret. With `keeps_old`, deliveries are signed with the old one too for a day."""
        row = self._row(id, is_locked=True)
        at = now(self._session)
        row.previous_secret = row.secret if keeps_old else None
        row.previous_secret_until = at + _TWO_SECRETS_SECONDS if keeps_old else None
        row.secret = _new_secret()
        row.updated_at = int(at)
        self._session.flush()
        self._record_update(id, {"secret": "rotated", "keeps_old_secret": keeps_old})
        return row.secret, _endpoint_of(row)

    def secret(self, id: str) -> str:
        """Secret to sign with, which must never be shown or logged."""
        return self._row(id).secret

    def disable(self, id: str) -> WebhookEndpoint:
        """Stops sending to the endpoint: pending deliveries fail, and it gets no later events."""
        row = self._row(id, is_locked=True)
        if row.disabled_at is None:
            disable(self._session, row, "Disabled through the API.", at=now(self._session))
            self._record_update(id, {"is_enabled": False})
        return _endpoint_of(row)

    def enable(self, id: str) -> WebhookEndpoint:
        """Sends events to a disabled endpoint again, from now on."""
        row = self._row(id, is_locked=True)
        if row.disabled_at is not None:
            self._record_update(id, {"is_enabled": True})
        row.disabled_at = row.disabled_reason = None
        _forget_failures(row)
        self._session.flush()
        return _endpoint_of(row)

    def deliveries(self, id: str, *, after: str | None = None, limit: int = 20) -> Page[WebhookDelivery]:
        """Newest first. Raises InvalidRequest if the endpoint has no delivery `after`."""
        self._row(id)
        statement = select(tables.WebhookDelivery).where(tables.WebhookDelivery.endpoint_id == id)
        key = (tables.WebhookDelivery.created_at, tables.WebhookDelivery.id)
        found = page(self._session, statement, key=key, after=after, cursors=statement, limit=limit)
        return Page([_delivery_of(row) for row in found.data], found.has_more)

    def redeliver(self, id: str, delivery_id: str) -> WebhookDelivery:
        """Sends an event once more, with the same id, for another day. Raises Conflict if the endpoint is
        disabled."""
        endpoint = self._row(id, is_locked=True)
        if endpoint.disabled_at is not None:
            raise Conflict(f"Webhook endpoint {id} is disabled. Enable it first.")
        row = self._session.get(tables.WebhookDelivery, delivery_id)
        if row is None or row.endpoint_id != id:
            raise NotFound(f"No such webhook delivery: {delivery_id}")
        at = now(self._session)
        row.status, row.tries, row.finished_at = "pending", 0, None
        row.next_try_at, row.expires_at = at, at + GIVE_UP_SECONDS
        endpoint.held_until = 0.0
        self._session.flush()
        return _delivery_of(row)

    def _all(self) -> Select[tables.WebhookEndpoint]:
        return select(tables.WebhookEndpoint).where(
            tables.WebhookEndpoint.organization_id == self._tenant.organization_id,
            tables.WebhookEndpoint.project_id == self._tenant.project_id,
        )

    def _record_update(self, id: str, changes: dict[str, Any]) -> None:
        record(self._session, self._tenant, "webhook_endpoint.updated", id, changes_requested=changes)

    def _row(self, id: str, *, is_locked: bool = False) -> tables.WebhookEndpoint:
        statement = self._all().where(tables.WebhookEndpoint.id == id)
        row = self._session.scalar(statement.with_for_update() if is_locked else statement)
        if row is None:
            raise NotFound(f"No such webhook endpoint: {id}")
        return row


def _without_secrets(url: str) -> str:
    """Keeps only scheme and host. The path and the query of a receiver often serve as its password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/"


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def _unique(event_types: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(event_types))


def _forget_failures(row: tables.WebhookEndpoint) -> None:
    row.failures, row.failing_since, row.held_until = 0, None, 0.0


def _endpoint_of(row: tables.WebhookEndpoint) -> WebhookEndpoint:
    return WebhookEndpoint(
        id=row.id,
        name=row.name,
        url=row.url,
        event_types=row.event_types,
        secret_hint=f"whsec_…{row.secret.rstrip('=')[-4:]}",
        created_at=row.created_at,
        updated_at=row.updated_at,
        disabled_at=row.disabled_at,
        disabled_reason=row.disabled_reason,
        failures=row.failures,
    )


def _delivery_of(row: tables.WebhookDelivery) -> WebhookDelivery:
    return WebhookDelivery(
        id=row.id,
        endpoint_id=row.endpoint_id,
        event_id=row.event_id,
        event_type=row.event_type,
        status=cast(DeliveryStatus, row.status),
        tries=row.tries,
        next_try_at=None if row.next_try_at is None else int(row.next_try_at),
        created_at=row.created_at,
        tried_at=None if row.tried_at is None else int(row.tried_at),
        status_code=row.status_code,
        error=row.error,
        response=row.response,
    )
