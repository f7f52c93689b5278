from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.error_answer import ErrorAnswer
from ...models.project_rate_limit import ProjectRateLimit
from ...types import Response


def _get_kwargs(
    project_id: str,
    rate_limit_id: str,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "delete",
        "url": "/v1/organization/projects/{project_id}/rate_limits/{rate_limit_id}".format(
            project_id=segment(str(project_id)),
            rate_limit_id=segment(str(rate_limit_id)),
        ),
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorAnswer | ProjectRateLimit:
    if response.status_code == 200:
        response_200 = ProjectRateLimit.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorAnswer | ProjectRateLimit]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    project_id: str,
    rate_limit_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[ErrorAnswer | ProjectRateLimit]:
    """Reset a project's rate limit

     The project's limits for any base model apply again, or else the server's. A Tunery extension.

    Args:
        project_id (str):
        rate_limit_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | ProjectRateLimit]
    """

    kwargs = _get_kwargs(
        project_id=project_id,
        rate_limit_id=rate_limit_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    project_id: str,
    rate_limit_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> ErrorAnswer | ProjectRateLimit | None:
    """Reset a project's rate limit

     The project's limits for any base model apply again, or else the server's. A Tunery extension.

    Args:
        project_id (str):
        rate_limit_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | ProjectRateLimit
    """

    return sync_detailed(
        project_id=project_id,
        rate_limit_id=rate_limit_id,
        client=client,
    ).parsed


async def asyncio_detailed(
    project_id: str,
    rate_limit_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[ErrorAnswer | ProjectRateLimit]:
    """Reset a project's rate limit

     The project's limits for any base model apply again, or else the server's. A Tunery extension.

    Args:
        project_id (str):
        rate_limit_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | ProjectRateLimit]
    """

    kwargs = _get_kwargs(
        project_id=project_id,
        rate_limit_id=rate_limit_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    project_id: str,
    rate_limit_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> ErrorAnswer | ProjectRateLimit | None:
    """Reset a project's rate limit

     The project's limits for any base model apply again, or else the server's. A Tunery extension.

    Args:
        project_id (str):
        rate_limit_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | ProjectRateLimit
    """

    return (
        await asyncio_detailed(
            project_id=project_id,
            rate_limit_id=rate_limit_id,
            client=client,
        )
    ).parsed
