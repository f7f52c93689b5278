from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.error_answer import ErrorAnswer
from ...models.webhook_delivery import WebhookDelivery
from ...types import Response


def _get_kwargs(
    webhook_endpoint_id: str,
    webhook_delivery_id: str,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/webhook_endpoints/{webhook_endpoint_id}/deliveries/{webhook_delivery_id}/redeliver".format(
            webhook_endpoint_id=segment(str(webhook_endpoint_id)),
            webhook_delivery_id=segment(str(webhook_delivery_id)),
        ),
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorAnswer | WebhookDelivery:
    if response.status_code == 200:
        response_200 = WebhookDelivery.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorAnswer | WebhookDelivery]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    webhook_endpoint_id: str,
    webhook_delivery_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[ErrorAnswer | WebhookDelivery]:
    """Send an event once more

     Sends the delivery again with the same id, whether it has arrived or not. A Tunery extension.

    Args:
        webhook_endpoint_id (str):
        webhook_delivery_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | WebhookDelivery]
    """

    kwargs = _get_kwargs(
        webhook_endpoint_id=webhook_endpoint_id,
        webhook_delivery_id=webhook_delivery_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    webhook_endpoint_id: str,
    webhook_delivery_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> ErrorAnswer | WebhookDelivery | None:
    """Send an event once more

     Sends the delivery again with the same id, whether it has arrived or not. A Tunery extension.

    Args:
        webhook_endpoint_id (str):
        webhook_delivery_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | WebhookDelivery
    """

    return sync_detailed(
        webhook_endpoint_id=webhook_endpoint_id,
        webhook_delivery_id=webhook_delivery_id,
        client=client,
    ).parsed


async def asyncio_detailed(
    webhook_endpoint_id: str,
    webhook_delivery_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[ErrorAnswer | WebhookDelivery]:
    """Send an event once more

     Sends the delivery again with the same id, whether it has arrived or not. A Tunery extension.

    Args:
        webhook_endpoint_id (str):
        webhook_delivery_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | WebhookDelivery]
    """

    kwargs = _get_kwargs(
        webhook_endpoint_id=webhook_endpoint_id,
        webhook_delivery_id=webhook_delivery_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    webhook_endpoint_id: str,
    webhook_delivery_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> ErrorAnswer | WebhookDelivery | None:
    """Send an event once more

     Sends the delivery again with the same id, whether it has arrived or not. A Tunery extension.

    Args:
        webhook_endpoint_id (str):
        webhook_delivery_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | WebhookDelivery
    """

    return (
        await asyncio_detailed(
            webhook_endpoint_id=webhook_endpoint_id,
            webhook_delivery_id=webhook_delivery_id,
            client=client,
        )
    ).parsed
