"""Webhook endpoints: OpenAI's objects, and Tunery's deliveries."""

from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from cluster.egress.destinations import MAX_URL_LENGTH
from service.api.schemas.base import Answer, Body
from service.db.webhooks.endpoints import DeliveryStatus
from service.db.webhooks.queue import EventType

EndpointName = Annotated[str, Field(min_length=1, max_length=256)]
Url = Annotated[str, Field(min_length=1, max_length=MAX_URL_LENGTH)]
# TypeAliasType gives it a name of its own in the OpenAPI document.
WebhookEventType = TypeAliasType("WebhookEventType", EventType)
EventTypes = Annotated[list[WebhookEventType], Field(min_length=1, max_length=32)]


class CreateWebhookEndpointBody(Body):
    name: EndpointName
    """A human-readable name for the endpoint."""
    url: Url
    """URL that events are posted to: https on the public internet, unless the operator allows other
    destinations."""
    event_types: EventTypes
    """The types of events to send."""


class UpdateWebhookEndpointBody(Body):
    """Fields that are left out stay unchanged."""

    name: EndpointName | None = None
    url: Url | None = None
    event_types: EventTypes | None = None
    """All events to send from now on."""

    def changes(self) -> dict[str, Any]:
        return {field: value for field, value in self.model_dump().items() if value is not None}


class RotateWebhookSecretBody(Body):
    keep_old_secret_active_for_24_hours: bool | None = None
    """Whether deliveries are also signed with the old secret for a day, which leaves time to update
    receivers. By default, only the new secret is used from now on."""


class TestWebhookBody(Body):
    event_type: WebhookEventType
    """The event to send as a sample."""


class WebhookEndpointExtension(Answer):
    """Tunery's additions."""

    status: Literal["enabled", "disabled"]
    disabled_at: int | None
    disabled_reason: str | None
    """Why the endpoint is disabled."""
    failures: int
    """Failed delivery attempts since the last success."""


class WebhookEndpoint(Answer):
    id: str
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    created_at: int
    updated_at: int
    """When its configuration or its secret last changed."""
    name: str
    url: str
    event_types: list[str]
    signing_secret_hint: str
    """The end of the signing secret."""
    tunery: WebhookEndpointExtension


class WebhookEndpointWithSecret(WebhookEndpoint):
    signing_secret: str
    """The secret that receivers verify signatures with (`whsec_…`). It is not shown again."""


class WebhookEndpointList(Answer):
    object: Literal["list"] = "list"
    data: list[WebhookEndpoint]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedWebhookEndpoint(Answer):
    id: str
    object: Literal["webhook_endpoint.deleted"] = "webhook_endpoint.deleted"
    deleted: Literal[True] = True


class WebhookEndpointTestResult(Answer):
    object: Literal["webhook_endpoint.test"] = "webhook_endpoint.test"
    webhook_endpoint_id: str
    event_type: str
    status_code: int
    """HTTP status of the receiver's response."""
    success: Literal[True] = True
    """Whether the receiver responded, with any status."""


class WebhookEventTypeList(Answer):
    object: Literal["list"] = "list"
    data: list[str]


class WebhookDelivery(Answer):
    """An event for one endpoint, and its last delivery attempt."""

    id: str
    object: Literal["webhook_delivery"] = "webhook_delivery"
    webhook_endpoint_id: str
    event_id: str
    """The `webhook-id` of every delivery attempt."""
    event_type: str
    created_at: int
    status: DeliveryStatus
    """`failed` means that the delivery is not retried."""
    tries: int
    tried_at: int | None
    next_try_at: int | None
    status_code: int | None
    """HTTP status of the last response."""
    error: str | None
    """Why there was no response."""
    response: str | None
    """The beginning of the last response's body."""


class WebhookDeliveryList(Answer):
    object: Literal["list"] = "list"
    data: list[WebhookDelivery]
    first_id: str | None
    last_id: str | None
    has_more: bool
