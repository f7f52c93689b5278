from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.error_answer import ErrorAnswer
from ...models.project_rate_limit import ProjectRateLimit
from ...models.update_rate_limit_body import UpdateRateLimitBody
from ...types import Response


def _get_kwargs(
    project_id: str,
    rate_limit_id: str,
    *,
    body: UpdateRateLimitBody,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/organization/projects/{project_id}/rate_limits/{rate_limit_id}".format(
            project_id=segment(str(project_id)),
            rate_limit_id=segment(str(rate_limit_id)),
        ),
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
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
    body: UpdateRateLimitBody,
) -> Response[ErrorAnswer | ProjectRateLimit]:
    """Modify a project's rate limit

     Takes effect within a few seconds.

    Args:
        project_id (str):
        rate_limit_id (str):
        body (UpdateRateLimitBody): Limits that are left out stay as they are.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | ProjectRateLimit]
    """

    kwargs = _get_kwargs(
        project_id=project_id,
        rate_limit_id=rate_limit_id,
        body=body,
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
    body: UpdateRateLimitBody,
) -> ErrorAnswer | ProjectRateLimit | None:
    """Modify a project's rate limit

     Takes effect within a few seconds.

    Args:
        project_id (str):
        rate_limit_id (str):
        body (UpdateRateLimitBody): Limits that are left out stay as they are.

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
        body=body,
    ).parsed


async def asyncio_detailed(
    project_id: str,
    rate_limit_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: UpdateRateLimitBody,
) -> Response[ErrorAnswer | ProjectRateLimit]:
    """Modify a project's rate limit

     Takes effect within a few seconds.

    Args:
        project_id (str):
        rate_limit_id (str):
        body (UpdateRateLimitBody): Limits that are left out stay as they are.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | ProjectRateLimit]
    """

    kwargs = _get_kwargs(
        project_id=project_id,
        rate_limit_id=rate_limit_id,
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    project_id: str,
    rate_limit_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: UpdateRateLimitBody,
) -> ErrorAnswer | ProjectRateLimit | None:
    """Modify a project's rate limit

     Takes effect within a few seconds.

    Args:
        project_id (str):
        rate_limit_id (str):
        body (UpdateRateLimitBody): Limits that are left out stay as they are.

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
            body=body,
        )
    ).parsed
