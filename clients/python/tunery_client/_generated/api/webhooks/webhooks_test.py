from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.error_answer import ErrorAnswer
from ...models.test_webhook_body import TestWebhookBody
from ...models.webhook_endpoint_test_result import WebhookEndpointTestResult
from ...types import Response


def _get_kwargs(
    webhook_endpoint_id: str,
    *,
    body: TestWebhookBody,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/webhook_endpoints/{webhook_endpoint_id}/test".format(
            webhook_endpoint_id=segment(str(webhook_endpoint_id)),
        ),
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorAnswer | WebhookEndpointTestResult:
    if response.status_code == 200:
        response_200 = WebhookEndpointTestResult.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorAnswer | WebhookEndpointTestResult]:
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
    body: TestWebhookBody,
) -> Response[ErrorAnswer | WebhookEndpointTestResult]:
    """Send a sample event

     Sends it at once, and waits for the answer. It is signed, names no job that exists, and is not
    repeated.

    Args:
        webhook_endpoint_id (str):
        body (TestWebhookBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | WebhookEndpointTestResult]
    """

    kwargs = _get_kwargs(
        webhook_endpoint_id=webhook_endpoint_id,
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    webhook_endpoint_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: TestWebhookBody,
) -> ErrorAnswer | WebhookEndpointTestResult | None:
    """Send a sample event

     Sends it at once, and waits for the answer. It is signed, names no job that exists, and is not
    repeated.

    Args:
        webhook_endpoint_id (str):
        body (TestWebhookBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | WebhookEndpointTestResult
    """

    return sync_detailed(
        webhook_endpoint_id=webhook_endpoint_id,
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    webhook_endpoint_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: TestWebhookBody,
) -> Response[ErrorAnswer | WebhookEndpointTestResult]:
    """Send a sample event

     Sends it at once, and waits for the answer. It is signed, names no job that exists, and is not
    repeated.

    Args:
        webhook_endpoint_id (str):
        body (TestWebhookBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | WebhookEndpointTestResult]
    """

    kwargs = _get_kwargs(
        webhook_endpoint_id=webhook_endpoint_id,
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    webhook_endpoint_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: TestWebhookBody,
) -> ErrorAnswer | WebhookEndpointTestResult | None:
    """Send a sample event

     Sends it at once, and waits for the answer. It is signed, names no job that exists, and is not
    repeated.

    Args:
        webhook_endpoint_id (str):
        body (TestWebhookBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | WebhookEndpointTestResult
    """

    return (
        await asyncio_detailed(
            webhook_endpoint_id=webhook_endpoint_id,
            client=client,
            body=body,
        )
    ).parsed
