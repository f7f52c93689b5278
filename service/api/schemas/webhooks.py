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
    """A name for people to recognize the endpoint by."""
    url: Url
    """Where events are posted: https, on the public internet, unless the operator allows more."""
    event_types: EventTypes
    """The types of events to send."""


class UpdateWebhookEndpointBody(Body):
    """Fields that are left out stay as they are."""

    name: EndpointName | None = None
    url: Url | None = None
    event_types: EventTypes | None = None
    """All events to send from now on."""

    def changes(self) -> dict[str, Any]:
        return {field: value for field, value in self.model_dump().items() if value is not None}


class RotateWebhookSecretBody(Body):
    keep_old_secret_active_for_24_hours: bool | None = None
    """Whether deliveries are also signed with the old secret for a day, to give time to update receivers. By
    default, only the new one is used at once."""


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
    """Failed tries since the last success."""


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
    """`whsec_…`, which receivers verify signatures with. It is not shown again."""


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
    """What the receiver answered."""
    success: Literal[True] = True
    """Whether the receiver has answered, with any status."""


class WebhookEventTypeList(Answer):
    object: Literal["list"] = "list"
    data: list[str]


class WebhookDelivery(Answer):
    """An event for one endpoint, and its last try."""

    id: str
    object: Literal["webhook_delivery"] = "webhook_delivery"
    webhook_endpoint_id: str
    event_id: str
    """The `webhook-id` of every try."""
    event_type: str
    created_at: int
    status: DeliveryStatus
    """`failed`: it is not tried again."""
    tries: int
    tried_at: int | None
    next_try_at: int | None
    status_code: int | None
    """HTTP status of the last response."""
    error: str | None
    """Why there was no answer."""
    response: str | None
    """The start of the last answer's body."""


class WebhookDeliveryList(Answer):
    object: Literal["list"] = "list"
    data: list[WebhookDelivery]
    first_id: str | None
    last_id: str | None
    has_more: bool
