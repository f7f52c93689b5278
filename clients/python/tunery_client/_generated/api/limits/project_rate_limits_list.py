from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.error_answer import ErrorAnswer
from ...models.project_rate_limit_list import ProjectRateLimitList
from ...types import UNSET, Response, Unset


def _get_kwargs(
    project_id: str,
    *,
    after: str | Unset = UNSET,
    before: str | Unset = UNSET,
    limit: int | Unset = 100,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["after"] = after

    params["before"] = before

    params["limit"] = limit

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/organization/projects/{project_id}/rate_limits".format(
            project_id=segment(str(project_id)),
        ),
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorAnswer | ProjectRateLimitList:
    if response.status_code == 200:
        response_200 = ProjectRateLimitList.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorAnswer | ProjectRateLimitList]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    project_id: str,
    *,
    client: AuthenticatedClient | Client,
    after: str | Unset = UNSET,
    before: str | Unset = UNSET,
    limit: int | Unset = 100,
) -> Response[ErrorAnswer | ProjectRateLimitList]:
    """List a project's rate limits

     One for each base model, which the models tuned from it share. 9007199254740991 means no limit.

    Args:
        project_id (str):
        after (str | Unset):
        before (str | Unset):
        limit (int | Unset):  Default: 100.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | ProjectRateLimitList]
    """

    kwargs = _get_kwargs(
        project_id=project_id,
        after=after,
        before=before,
        limit=limit,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    project_id: str,
    *,
    client: AuthenticatedClient | Client,
    after: str | Unset = UNSET,
    before: str | Unset = UNSET,
    limit: int | Unset = 100,
) -> ErrorAnswer | ProjectRateLimitList | None:
    """List a project's rate limits

     One for each base model, which the models tuned from it share. 9007199254740991 means no limit.

    Args:
        project_id (str):
        after (str | Unset):
        before (str | Unset):
        limit (int | Unset):  Default: 100.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | ProjectRateLimitList
    """

    return sync_detailed(
        project_id=project_id,
        client=client,
        after=after,
        before=before,
        limit=limit,
    ).parsed


async def asyncio_detailed(
    project_id: str,
    *,
    client: AuthenticatedClient | Client,
    after: str | Unset = UNSET,
    before: str | Unset = UNSET,
    limit: int | Unset = 100,
) -> Response[ErrorAnswer | ProjectRateLimitList]:
    """List a project's rate limits

     One for each base model, which the models tuned from it share. 9007199254740991 means no limit.

    Args:
        project_id (str):
        after (str | Unset):
        before (str | Unset):
        limit (int | Unset):  Default: 100.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | ProjectRateLimitList]
    """

    kwargs = _get_kwargs(
        project_id=project_id,
        after=after,
        before=before,
        limit=limit,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    project_id: str,
    *,
    client: AuthenticatedClient | Client,
    after: str | Unset = UNSET,
    before: str | Unset = UNSET,
    limit: int | Unset = 100,
) -> ErrorAnswer | ProjectRateLimitList | None:
    """List a project's rate limits

     One for each base model, which the models tuned from it share. 9007199254740991 means no limit.

    Args:
        project_id (str):
        after (str | Unset):
        before (str | Unset):
        limit (int | Unset):  Default: 100.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | ProjectRateLimitList
    """

    return (
        await asyncio_detailed(
            project_id=project_id,
            client=client,
            after=after,
            before=before,
            limit=limit,
        )
    ).parsed
