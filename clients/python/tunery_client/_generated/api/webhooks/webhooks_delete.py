from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.deleted_webhook_endpoint import DeletedWebhookEndpoint
from ...models.error_answer import ErrorAnswer
from ...types import Response


def _get_kwargs(
    webhook_endpoint_id: str,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "delete",
        "url": "/v1/webhook_endpoints/{webhook_endpoint_id}".format(
            webhook_endpoint_id=segment(str(webhook_endpoint_id)),
        ),
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> DeletedWebhookEndpoint | ErrorAnswer:
    if response.status_code == 200:
        response_200 = DeletedWebhookEndpoint.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[DeletedWebhookEndpoint | ErrorAnswer]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    webhook_endpoint_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[DeletedWebhookEndpoint | ErrorAnswer]:
    """Delete a webhook endpoint

     Deletes the endpoint and its deliveries; nothing more is sent.

    Args:
        webhook_endpoint_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[DeletedWebhookEndpoint | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        webhook_endpoint_id=webhook_endpoint_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    webhook_endpoint_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> DeletedWebhookEndpoint | ErrorAnswer | None:
    """Delete a webhook endpoint

     Deletes the endpoint and its deliveries; nothing more is sent.

    Args:
        webhook_endpoint_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        DeletedWebhookEndpoint | ErrorAnswer
    """

    return sync_detailed(
        webhook_endpoint_id=webhook_endpoint_id,
        client=client,
    ).parsed


async def asyncio_detailed(
    webhook_endpoint_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[DeletedWebhookEndpoint | ErrorAnswer]:
    """Delete a webhook endpoint

     Deletes the endpoint and its deliveries; nothing more is sent.

    Args:
        webhook_endpoint_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[DeletedWebhookEndpoint | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        webhook_endpoint_id=webhook_endpoint_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    webhook_endpoint_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> DeletedWebhookEndpoint | ErrorAnswer | None:
    """Delete a webhook endpoint

     Deletes the endpoint and its deliveries; nothing more is sent.

    Args:
        webhook_endpoint_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        DeletedWebhookEndpoint | ErrorAnswer
    """

    return (
        await asyncio_detailed(
            webhook_endpoint_id=webhook_endpoint_id,
            client=client,
        )
    ).parsed
