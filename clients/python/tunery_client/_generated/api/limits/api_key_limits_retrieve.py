from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.error_answer import ErrorAnswer
from ...models.key_limits import KeyLimits
from ...types import Response


def _get_kwargs(
    project_id: str,
    api_key_id: str,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/organization/projects/{project_id}/api_keys/{api_key_id}/limits".format(
            project_id=segment(str(project_id)),
            api_key_id=segment(str(api_key_id)),
        ),
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorAnswer | KeyLimits:
    if response.status_code == 200:
        response_200 = KeyLimits.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorAnswer | KeyLimits]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    project_id: str,
    api_key_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[ErrorAnswer | KeyLimits]:
    """Retrieve an API key's limits

     Returns the key's limits and how much of each has been used. A Tunery extension; 9007199254740991
    means
    no limit.

    Args:
        project_id (str):
        api_key_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | KeyLimits]
    """

    kwargs = _get_kwargs(
        project_id=project_id,
        api_key_id=api_key_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    project_id: str,
    api_key_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> ErrorAnswer | KeyLimits | None:
    """Retrieve an API key's limits

     Returns the key's limits and how much of each has been used. A Tunery extension; 9007199254740991
    means
    no limit.

    Args:
        project_id (str):
        api_key_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | KeyLimits
    """

    return sync_detailed(
        project_id=project_id,
        api_key_id=api_key_id,
        client=client,
    ).parsed


async def asyncio_detailed(
    project_id: str,
    api_key_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[ErrorAnswer | KeyLimits]:
    """Retrieve an API key's limits

     Returns the key's limits and how much of each has been used. A Tunery extension; 9007199254740991
    means
    no limit.

    Args:
        project_id (str):
        api_key_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | KeyLimits]
    """

    kwargs = _get_kwargs(
        project_id=project_id,
        api_key_id=api_key_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    project_id: str,
    api_key_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> ErrorAnswer | KeyLimits | None:
    """Retrieve an API key's limits

     Returns the key's limits and how much of each has been used. A Tunery extension; 9007199254740991
    means
    no limit.

    Args:
        project_id (str):
        api_key_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | KeyLimits
    """

    return (
        await asyncio_detailed(
            project_id=project_id,
            api_key_id=api_key_id,
            client=client,
        )
    ).parsed
