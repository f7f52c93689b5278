from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.error_answer import ErrorAnswer
from ...models.model_alias_history import ModelAliasHistory
from ...types import UNSET, Response, Unset


def _get_kwargs(
    alias: str,
    *,
    before: int | Unset = UNSET,
    limit: int | Unset = 20,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["before"] = before

    params["limit"] = limit

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/aliases/{alias}/history".format(
            alias=segment(str(alias)),
        ),
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorAnswer | ModelAliasHistory:
    if response.status_code == 200:
        response_200 = ModelAliasHistory.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorAnswer | ModelAliasHistory]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    alias: str,
    *,
    client: AuthenticatedClient | Client,
    before: int | Unset = UNSET,
    limit: int | Unset = 20,
) -> Response[ErrorAnswer | ModelAliasHistory]:
    """List an alias's changes

     Lists the alias's changes, newest first. The history of a deleted alias is kept.

    Args:
        alias (str):
        before (int | Unset): Only changes before this version.
        limit (int | Unset):  Default: 20.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | ModelAliasHistory]
    """

    kwargs = _get_kwargs(
        alias=alias,
        before=before,
        limit=limit,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    alias: str,
    *,
    client: AuthenticatedClient | Client,
    before: int | Unset = UNSET,
    limit: int | Unset = 20,
) -> ErrorAnswer | ModelAliasHistory | None:
    """List an alias's changes

     Lists the alias's changes, newest first. The history of a deleted alias is kept.

    Args:
        alias (str):
        before (int | Unset): Only changes before this version.
        limit (int | Unset):  Default: 20.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | ModelAliasHistory
    """

    return sync_detailed(
        alias=alias,
        client=client,
        before=before,
        limit=limit,
    ).parsed


async def asyncio_detailed(
    alias: str,
    *,
    client: AuthenticatedClient | Client,
    before: int | Unset = UNSET,
    limit: int | Unset = 20,
) -> Response[ErrorAnswer | ModelAliasHistory]:
    """List an alias's changes

     Lists the alias's changes, newest first. The history of a deleted alias is kept.

    Args:
        alias (str):
        before (int | Unset): Only changes before this version.
        limit (int | Unset):  Default: 20.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | ModelAliasHistory]
    """

    kwargs = _get_kwargs(
        alias=alias,
        before=before,
        limit=limit,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    alias: str,
    *,
    client: AuthenticatedClient | Client,
    before: int | Unset = UNSET,
    limit: int | Unset = 20,
) -> ErrorAnswer | ModelAliasHistory | None:
    """List an alias's changes

     Lists the alias's changes, newest first. The history of a deleted alias is kept.

    Args:
        alias (str):
        before (int | Unset): Only changes before this version.
        limit (int | Unset):  Default: 20.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | ModelAliasHistory
    """

    return (
        await asyncio_detailed(
            alias=alias,
            client=client,
            before=before,
            limit=limit,
        )
    ).parsed
