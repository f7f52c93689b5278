"""`/v1/webhook_endpoints`: where a project's events are sent. `service/webhooks` sends them."""

import time
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query

from cluster.contracts.errors import InvalidRequest, Overloaded
from service.api.http.auth import Reader, Writer
from service.api.http.strict_json import StrictJsonRoute
from service.api.schemas.base import Absent, OrDefault, WholeNumber
from service.api.schemas.webhooks import (
    CreateWebhookEndpointBody,
    DeletedWebhookEndpoint,
    RotateWebhookSecretBody,
    TestWebhookBody,
    UpdateWebhookEndpointBody,
    WebhookDelivery,
    WebhookDeliveryList,
    WebhookEndpoint,
    WebhookEndpointExtension,
    WebhookEndpointList,
    WebhookEndpointTestResult,
    WebhookEndpointWithSecret,
    WebhookEventTypeList,
)
from service.api.state import AppState, UsesAppState
from service.db.ids import new_id
from service.db.tenancy import Tenant
from service.db.webhooks import endpoints
from service.db.webhooks.endpoints import WebhookEndpoints
from service.db.webhooks.queue import EVENT_TYPES, Outcome, event_body

router = APIRouter(tags=["Webhooks"], route_class=StrictJsonRoute)

_After = Annotated[str | Absent, OrDefault]
_Limit = Annotated[int, Query(ge=1, le=100), WholeNumber]


@router.post("/webhook_endpoints", operation_id="webhooks_create", summary="Create a webhook endpoint")
def create(body: CreateWebhookEndpointBody, caller: Writer, state: UsesAppState) -> WebhookEndpointWithSecret:
    """Creates an endpoint, which receives events from now on. The signing secret is shown only in this
    response."""
    state.webhooks.policy.check_url(body.url)
    with state.database.write() as session:
        secret, endpoint = WebhookEndpoints(session, caller.tenant).create(
            name=body.name, url=body.url, event_types=body.event_types
        )
    return _with_secret(endpoint, secret)


@router.get("/webhook_endpoints", operation_id="webhooks_list", summary="List webhook endpoints")
def list_endpoints(
    caller: Writer, state: UsesAppState, after: _After = None, limit: _Limit = 20
) -> WebhookEndpointList:
    """Lists webhook endpoints, newest first."""
    with state.database.read() as session:
        page = WebhookEndpoints(session, caller.tenant).list(after=after, limit=limit)
    data = [_public(endpoint) for endpoint in page.data]
    return WebhookEndpointList(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=page.has_more,
    )


@router.get("/webhook_event_types", operation_id="webhooks_event_types_list", summary="List event types")
def list_event_types(caller: Reader) -> WebhookEventTypeList:
    return WebhookEventTypeList(data=list(EVENT_TYPES))


@router.get(
    "/webhook_endpoints/{webhook_endpoint_id}",
    operation_id="webhooks_retrieve",
    summary="Retrieve a webhook endpoint",
)
def retrieve(caller: Writer, state: UsesAppState, webhook_endpoint_id: str) -> WebhookEndpoint:
    with state.database.read() as session:
        return _public(WebhookEndpoints(session, caller.tenant).get(webhook_endpoint_id))


@router.post(
    "/webhook_endpoints/{webhook_endpoint_id}",
    operation_id="webhooks_update",
    summary="Change a webhook endpoint",
)
def update(
    body: UpdateWebhookEndpointBody, caller: Writer, state: UsesAppState, webhook_endpoint_id: str
) -> WebhookEndpoint:
    if body.url is not None:
        state.webhooks.policy.check_url(body.url)
    with state.database.write() as session:
        return _public(WebhookEndpoints(session, caller.tenant).update(webhook_endpoint_id, **body.changes()))


@router.delete(
    "/webhook_endpoints/{webhook_endpoint_id}",
    operation_id="webhooks_delete",
    summary="Delete a webhook endpoint",
)
def delete(caller: Writer, state: UsesAppState, webhook_endpoint_id: str) -> DeletedWebhookEndpoint:
    """Deletes the endpoint and its deliveries. Nothing more is sent to it."""
    with state.database.write() as session:
        WebhookEndpoints(session, caller.tenant).delete(webhook_endpoint_id)
    return DeletedWebhookEndpoint(id=webhook_endpoint_id)


@router.post(
    "/webhook_endpoints/{webhook_endpoint_id}/rotate_secret",
    operation_id="webhooks_rotate_secret",
    summary="Rotate a signing secret",
)
def rotate_secret(
    caller: Writer,
    state: UsesAppState,
    webhook_endpoint_id: str,
    body: RotateWebhookSecretBody | None = None,
) -> WebhookEndpointWithSecret:
    """Replaces the signing secret. The new one is shown only in this response."""
    keeps_old = body is not None and bool(body.keep_old_secret_active_for_24_hours)
    with state.database.write() as session:
        secret, endpoint = WebhookEndpoints(session, caller.tenant).rotate_secret(
            webhook_endpoint_id, keeps_old=keeps_old
        )
    return _with_secret(endpoint, secret)


@router.post(
    "/webhook_endpoints/{webhook_endpoint_id}/test",
    operation_id="webhooks_test",
    summary="Send a sample event",
)
async def test(
    body: TestWebhookBody, caller: Writer, state: UsesAppState, webhook_endpoint_id: str
) -> WebhookEndpointTestResult:
    """Sends a sample event immediately and waits for the response. The event is signed, refers to no existing
    job, and is not retried."""
    if not state.webhook_tests.available_tokens:
        raise Overloaded("Other sample events are being sent. Try again in some seconds.")
    outcome: Outcome = await run_sync(
        _send_sample, state, caller.tenant, webhook_endpoint_id, body, limiter=state.webhook_tests
    )
    if outcome.status_code is None:
        raise InvalidRequest(f"The receiver gave no answer. {outcome.error}", code="url_unreachable")
    return WebhookEndpointTestResult(
        webhook_endpoint_id=webhook_endpoint_id,
        event_type=body.event_type,
        status_code=outcome.status_code,
    )


@router.post(
    "/webhook_endpoints/{webhook_endpoint_id}/disable",
    operation_id="webhooks_disable",
    summary="Disable a webhook endpoint",
)
def disable(caller: Writer, state: UsesAppState, webhook_endpoint_id: str) -> WebhookEndpoint:
    """Stops sending to the endpoint. Pending deliveries fail. A Tunery extension."""
    with state.database.write() as session:
        return _public(WebhookEndpoints(session, caller.tenant).disable(webhook_endpoint_id))


@router.post(
    "/webhook_endpoints/{webhook_endpoint_id}/enable",
    operation_id="webhooks_enable",
    summary="Enable a webhook endpoint",
)
def enable(caller: Writer, state: UsesAppState, webhook_endpoint_id: str) -> WebhookEndpoint:
    """Sends events to the endpoint again from now on. A Tunery extension."""
    with state.database.write() as session:
        return _public(WebhookEndpoints(session, caller.tenant).enable(webhook_endpoint_id))


@router.get(
    "/webhook_endpoints/{webhook_endpoint_id}/deliveries",
    operation_id="webhooks_deliveries_list",
    summary="List an endpoint's deliveries",
)
def list_deliveries(
    caller: Writer,
    state: UsesAppState,
    webhook_endpoint_id: str,
    after: _After = None,
    limit: _Limit = 20,
) -> WebhookDeliveryList:
    """Lists deliveries to the endpoint, newest first. A Tunery extension."""
    with state.database.read() as session:
        page = WebhookEndpoints(session, caller.tenant).deliveries(
            webhook_endpoint_id, after=after, limit=limit
        )
    data = [_public_delivery(delivery) for delivery in page.data]
    return WebhookDeliveryList(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=page.has_more,
    )


@router.post(
    "/webhook_endpoints/{webhook_endpoint_id}/deliveries/{webhook_delivery_id}/redeliver",
    operation_id="webhooks_deliveries_redeliver",
    summary="Redeliver an event",
)
def redeliver(
    caller: Writer, state: UsesAppState, webhook_endpoint_id: str, webhook_delivery_id: str
) -> WebhookDelivery:
    """Sends the delivery again with the same id, whether or not it has arrived. A Tunery extension."""
    with state.database.write() as session:
        return _public_delivery(
            WebhookEndpoints(session, caller.tenant).redeliver(webhook_endpoint_id, webhook_delivery_id)
        )


def _send_sample(state: AppState, tenant: Tenant, id: str, body: TestWebhookBody) -> Outcome:
    with state.database.read() as session:
        endpoints = WebhookEndpoints(session, tenant)
        url, secret = endpoints.get(id).url, endpoints.secret(id)
    at, event_id = time.time(), new_id("evt_")
    sample = event_body(event_id, body.event_type, int(at), new_id("ftjob-"))
    return state.webhooks(url, [secret], event_id=event_id, body=sample, at=at)


def _public(endpoint: endpoints.WebhookEndpoint) -> WebhookEndpoint:
    return WebhookEndpoint(
        id=endpoint.id,
        created_at=endpoint.created_at,
        updated_at=endpoint.updated_at,
        name=endpoint.name,
        url=endpoint.url,
        event_types=list(endpoint.event_types),
        signing_secret_hint=endpoint.secret_hint,
        tunery=WebhookEndpointExtension(
            status="enabled" if endpoint.disabled_at is None else "disabled",
            disabled_at=endpoint.disabled_at,
            disabled_reason=endpoint.disabled_reason,
            failures=endpoint.failures,
        ),
    )


def _with_secret(endpoint: endpoints.WebhookEndpoint, secret: str) -> WebhookEndpointWithSecret:
    return WebhookEndpointWithSecret(**dict(_public(endpoint)), signing_secret=secret)


def _public_delivery(delivery: endpoints.WebhookDelivery) -> WebhookDelivery:
    return WebhookDelivery(
        id=delivery.id,
        webhook_endpoint_id=delivery.endpoint_id,
        event_id=delivery.event_id,
        event_type=delivery.event_type,
        created_at=delivery.created_at,
        status=delivery.status,
        tries=delivery.tries,
        tried_at=delivery.tried_at,
        next_try_at=delivery.next_try_at,
        status_code=delivery.status_code,
        error=delivery.error,
        response=delivery.response,
    )
