"""Deliveries to webhook endpoints of all tenants, for the workers that send them.

An outbox entry becomes a delivery for each endpoint that wants the event. A worker claims an endpoint for a
while and sends the due deliveries one after the other, so that a slow receiver occupies only one worker and a
receiver that is back after an outage is not flooded. Results of a worker that has lost its claim are
ignored."""

import json
import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, delete, exists, select, update
from sqlalchemy.orm import Session

from service.db import tables
from service.db.database import Database, now
from service.db.ids import new_id
from service.db.retries import RetryPolicy

EventType = Literal["fine_tuning.job.succeeded", "fine_tuning.job.failed", "fine_tuning.job.cancelled"]
EVENT_TYPES: tuple[EventType, ...] = (
    "fine_tuning.job.succeeded",
    "fine_tuning.job.failed",
    "fine_tuning.job.cancelled",
)
GIVE_UP_SECONDS = 24 * 3600.0
"""How long a delivery is retried."""
_CLAIM_SECONDS = 60.0
"""More than a try can take: the endpoint of a crashed worker is served again after this time."""
_PAUSES = RetryPolicy(first_seconds=5.0, max_seconds=900.0)
_BATCH = 100
_PRUNE_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to serve an endpoint until it expires."""

    endpoint_id: str
    token: str


@dataclass(frozen=True, slots=True)
class Try:
    """A delivery to send now."""

    claim: Claim
    delivery_id: str
    event_id: str
    body: str
    url: str
    secrets: Sequence[str]
    """Secrets to sign with: two for a day after the secret was rotated."""
    at: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a try ended."""

    status_code: int | None = None
    """HTTP status of the response, if there was one."""
    error: str | None = None
    """Why there was no response."""
    response: str | None = None
    """The start of the response's body."""

    @property
    def is_delivered(self) -> bool:
        return self.status_code is not None and 200 <= self.status_code < 300


class WebhookQueue:
    def __init__(
        self,
        database: Database,
        *,
        retention_seconds: float,
        disable_after_seconds: float,
        give_up_seconds: float = GIVE_UP_SECONDS,
        clock: Callable[[Session], float] = now,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`chance` draws numbers from 0 to 1; pauses are between half and all of the back-off."""
        self._database = database
        self._retention_seconds = retention_seconds
        self._disable_after_seconds = disable_after_seconds
        self._give_up_seconds = give_up_seconds
        self._clock = clock
        self._chance = chance

    def has_work(self) -> bool:
        """Whether there is work. Only reads, because most of the time there is none."""
        with self._database.read() as session:
            at = self._clock(session)
            is_new = exists().where(tables.OutboxEntry.delivered_at.is_(None))
            is_due = exists().where(
                tables.WebhookDelivery.status == "pending", tables.WebhookDelivery.next_try_at <= at
            )
            return bool(session.scalar(select(is_new | is_due)))

    def fan_out(self) -> int:
        """Writes the deliveries of the oldest outbox entries. Returns the number of entries; call it until
        that is 0. An endpoint does not get events that are older than itself."""
        with self._database.write() as session:
            at = self._clock(session)
            entries = session.scalars(
                select(tables.OutboxEntry)
                .where(tables.OutboxEntry.delivered_at.is_(None))
                .order_by(tables.OutboxEntry.id)
                .limit(_BATCH)
                .with_for_update(skip_locked=True)
            ).all()
            for entry in entries:
                if entry.topic in EVENT_TYPES:
                    session.add_all(self._deliveries(session, entry, at))
                entry.delivered_at = int(at)
            return len(entries)

    def claim(self, limit: int) -> Sequence[Claim]:
        """Claims endpoints with due deliveries, those served longest ago first."""
        endpoint, delivery = tables.WebhookEndpoint, tables.WebhookDelivery
        with self._database.write() as session:
            at = self._clock(session)
            due = select(delivery.endpoint_id).where(delivery.status == "pending", delivery.next_try_at <= at)
            rows = session.scalars(
                select(endpoint)
                .where(endpoint.id.in_(due), endpoint.held_until <= at, endpoint.claimed_until <= at)
                .order_by(endpoint.claimed_until)
                .limit(limit)
                .with_for_update(skip_locked=True)
            ).all()
            for row in rows:
                row.claim, row.claimed_until = secrets.token_hex(8), at + _CLAIM_SECONDS
            return [Claim(row.id, row.claim or "") for row in rows]

    def begin_try(self, claim: Claim) -> Try | None:
        """Returns the next delivery to send, and renews the claim for it. Returns None if nothing is due, and
        then releases the claim, or if the claim is lost."""
        with self._database.write() as session:
            endpoint = _claimed(session, claim)
            if endpoint is None:
                return None
            at = self._clock(session)
            delivery = None if endpoint.held_until > at else _next_due(session, endpoint.id, at)
            endpoint.claimed_until = at if delivery is None else at + _CLAIM_SECONDS
            if delivery is None:
                return None
            is_old_live = (endpoint.previous_secret_until or 0.0) > at
            live = [endpoint.secret, endpoint.previous_secret if is_old_live else None]
            return Try(
                claim=claim,
                delivery_id=delivery.id,
                event_id=delivery.event_id,
                body=delivery.body,
                url=endpoint.url,
                secrets=[secret for secret in live if secret is not None],
                at=at,
            )

    def record(self, tried: Try, outcome: Outcome) -> None:
        """Records the outcome. After a failure, the delivery is due again later, and nothing is sent to the
        endpoint for a while. A receiver that answers 410, or has failed for too long, is disabled."""
        with self._database.write() as session:
            endpoint = _claimed(session, tried.claim)
            delivery = session.get(tables.WebhookDelivery, tried.delivery_id)
            if endpoint is None or delivery is None or delivery.status != "pending":
                return
            at = self._clock(session)
            delivery.tries += 1
            delivery.tried_at = at
            delivery.status_code, delivery.error = outcome.status_code, outcome.error
            delivery.response = outcome.response
            if outcome.is_delivered:
                endpoint.failures, endpoint.failing_since = 0, None
                _finish(delivery, "delivered", at)
                return
            delivery.next_try_at = at + self._pause(delivery.tries)
            if delivery.next_try_at > delivery.expires_at:
                _finish(delivery, "failed", at)
            endpoint.failures += 1
            endpoint.failing_since = endpoint.failing_since or at
            endpoint.held_until = at + self._pause(endpoint.failures)
            if outcome.status_code == 410:
                disable(session, endpoint, "The receiver answered 410 Gone.", at=at)
            elif at - endpoint.failing_since >= self._disable_after_seconds:
                days = self._disable_after_seconds / 86_400
                disable(session, endpoint, f"Every delivery has failed for {days:g} days.", at=at)

    def release(self, claim: Claim) -> None:
        """Lets another worker serve the endpoint, after those that have waited longer."""
        with self._database.write() as session:
            if (endpoint := _claimed(session, claim)) is not None:
                endpoint.claimed_until = self._clock(session)

    def prune(self) -> int:
        """Deletes some rows that ended longer ago than they are kept. Returns the number of rows; call it
        until that is 0."""
        entry, delivery = tables.OutboxEntry, tables.WebhookDelivery
        with self._database.write() as session:
            before = self._clock(session) - self._retention_seconds
            ended = delivery.status.in_(("delivered", "failed")) & (delivery.finished_at < before)
            return _delete_some(session, entry, entry.delivered_at < before) + _delete_some(
                session, delivery, ended
            )

    def _deliveries(
        self, session: Session, entry: tables.OutboxEntry, at: float
    ) -> Sequence[tables.WebhookDelivery]:
        # Locked, so that an endpoint that is being disabled does not get another delivery.
        endpoints = session.scalars(
            select(tables.WebhookEndpoint)
            .where(
                tables.WebhookEndpoint.organization_id == entry.organization_id,
                tables.WebhookEndpoint.project_id == entry.project_id,
                tables.WebhookEndpoint.disabled_at.is_(None),
                tables.WebhookEndpoint.created_at <= entry.created_at,
            )
            .order_by(tables.WebhookEndpoint.id)
            .with_for_update(read=True)
        )
        event_id = new_id("evt_")
        body = event_body(event_id, entry.topic, entry.created_at, entry.payload["id"])
        return [
            tables.WebhookDelivery(
                id=new_id("whd_"),
                endpoint_id=endpoint.id,
                event_id=event_id,
                event_type=entry.topic,
                body=body,
                status="pending",
                tries=0,
                next_try_at=at,
                expires_at=at + self._give_up_seconds,
                created_at=entry.created_at,
            )
            for endpoint in endpoints
            if entry.topic in endpoint.event_types
        ]

    def _pause(self, failures: int) -> float:
        return _PAUSES.pause_seconds(failures) * (1 + self._chance()) / 2


def disable(session: Session, endpoint: tables.WebhookEndpoint, reason: str, *, at: float) -> None:
    """Disables the endpoint, and gives up its pending deliveries. The caller holds the endpoint's lock."""
    endpoint.disabled_at, endpoint.disabled_reason = int(at), reason
    session.execute(
        update(tables.WebhookDelivery)
        .where(tables.WebhookDelivery.endpoint_id == endpoint.id, tables.WebhookDelivery.status == "pending")
        .values(status="failed", next_try_at=None, finished_at=at)
        .execution_options(synchronize_session="fetch")
    )
    session.flush()


def event_body(event_id: str, event_type: str, created_at: int, object_id: str) -> str:
    """OpenAI's webhook event as JSON."""
    event = {
        "id": event_id,
        "object": "event",
        "type": event_type,
        "created_at": created_at,
        "data": {"id": object_id},
    }
    return json.dumps(event, separators=(",", ":"))


def _claimed(session: Session, claim: Claim) -> tables.WebhookEndpoint | None:
    """The endpoint's locked row, if this claim is still the latest one."""
    return session.scalar(
        select(tables.WebhookEndpoint)
        .where(tables.WebhookEndpoint.id == claim.endpoint_id, tables.WebhookEndpoint.claim == claim.token)
        .with_for_update()
    )


def _next_due(session: Session, endpoint_id: str, at: float) -> tables.WebhookDelivery | None:
    """The delivery that has been due longest. Deliveries that are too old fail first."""
    delivery = tables.WebhookDelivery
    mine = (delivery.endpoint_id == endpoint_id, delivery.status == "pending")
    session.execute(
        update(delivery)
        .where(*mine, delivery.expires_at < at)
        .values(status="failed", next_try_at=None, finished_at=at)
    )
    due = select(delivery).where(*mine, delivery.next_try_at <= at)
    return session.scalar(due.order_by(delivery.next_try_at, delivery.id).limit(1))


def _finish(delivery: tables.WebhookDelivery, status: str, at: float) -> None:
    delivery.status, delivery.next_try_at, delivery.finished_at = status, None, at


def _delete_some(
    session: Session, table: type[tables.OutboxEntry | tables.WebhookDelivery], wanted: ColumnElement[bool]
) -> int:
    """Skips rows that another transaction holds, so that neither waits for the other."""
    found = select(table.id).where(wanted).limit(_PRUNE_BATCH).with_for_update(skip_locked=True)
    ids = session.scalars(found).all()
    session.execute(delete(table).where(table.id.in_(ids)))
    return len(ids)
