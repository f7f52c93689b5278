from http import HTTPStatus
from typing import Any

import httpx

from ...client import AuthenticatedClient, Client
from ...models.admin_api_key_body import AdminApiKeyBody
from ...models.created_admin_api_key import CreatedAdminApiKey
from ...models.error_answer import ErrorAnswer
from ...types import Response


def _get_kwargs(
    *,
    body: AdminApiKeyBody,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/organization/admin_api_keys",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> CreatedAdminApiKey | ErrorAnswer:
    if response.status_code == 200:
        response_200 = CreatedAdminApiKey.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[CreatedAdminApiKey | ErrorAnswer]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: AdminApiKeyBody,
) -> Response[CreatedAdminApiKey | ErrorAnswer]:
    """Create an admin key

     The key is shown only once. Where a request names no project, it acts in the project in which the
    key
    that made it was acting.

    Args:
        body (AdminApiKeyBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[CreatedAdminApiKey | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: AdminApiKeyBody,
) -> CreatedAdminApiKey | ErrorAnswer | None:
    """Create an admin key

     The key is shown only once. Where a request names no project, it acts in the project in which the
    key
    that made it was acting.

    Args:
        body (AdminApiKeyBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        CreatedAdminApiKey | ErrorAnswer
    """

    return sync_detailed(
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: AdminApiKeyBody,
) -> Response[CreatedAdminApiKey | ErrorAnswer]:
    """Create an admin key

     The key is shown only once. Where a request names no project, it acts in the project in which the
    key
    that made it was acting.

    Args:
        body (AdminApiKeyBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[CreatedAdminApiKey | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: AdminApiKeyBody,
) -> CreatedAdminApiKey | ErrorAnswer | None:
    """Create an admin key

     The key is shown only once. Where a request names no project, it acts in the project in which the
    key
    that made it was acting.

    Args:
        body (AdminApiKeyBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        CreatedAdminApiKey | ErrorAnswer
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
        )
    ).parsed
