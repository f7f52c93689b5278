from http import HTTPStatus
from typing import Any

import httpx

from ...client import AuthenticatedClient, Client
from ...models.error_answer import ErrorAnswer
from ...models.file_list import FileList
from ...models.files_list_order import FilesListOrder
from ...models.listed_purpose import ListedPurpose
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    purpose: ListedPurpose | Unset = UNSET,
    limit: int | Unset = 10000,
    order: FilesListOrder | Unset = "desc",
    after: str | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    json_purpose: str | Unset = UNSET
    if not isinstance(purpose, Unset):
        json_purpose = purpose

    params["purpose"] = json_purpose

    params["limit"] = limit

    json_order: str | Unset = UNSET
    if not isinstance(order, Unset):
        json_order = order

    params["order"] = json_order

    params["after"] = after

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/files",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorAnswer | FileList:
    if response.status_code == 200:
        response_200 = FileList.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorAnswer | FileList]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    purpose: ListedPurpose | Unset = UNSET,
    limit: int | Unset = 10000,
    order: FilesListOrder | Unset = "desc",
    after: str | Unset = UNSET,
) -> Response[ErrorAnswer | FileList]:
    """List files

    Args:
        purpose (ListedPurpose | Unset):
        limit (int | Unset):  Default: 10000.
        order (FilesListOrder | Unset):  Default: 'desc'.
        after (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | FileList]
    """

    kwargs = _get_kwargs(
        purpose=purpose,
        limit=limit,
        order=order,
        after=after,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    purpose: ListedPurpose | Unset = UNSET,
    limit: int | Unset = 10000,
    order: FilesListOrder | Unset = "desc",
    after: str | Unset = UNSET,
) -> ErrorAnswer | FileList | None:
    """List files

    Args:
        purpose (ListedPurpose | Unset):
        limit (int | Unset):  Default: 10000.
        order (FilesListOrder | Unset):  Default: 'desc'.
        after (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | FileList
    """

    return sync_detailed(
        client=client,
        purpose=purpose,
        limit=limit,
        order=order,
        after=after,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    purpose: ListedPurpose | Unset = UNSET,
    limit: int | Unset = 10000,
    order: FilesListOrder | Unset = "desc",
    after: str | Unset = UNSET,
) -> Response[ErrorAnswer | FileList]:
    """List files

    Args:
        purpose (ListedPurpose | Unset):
        limit (int | Unset):  Default: 10000.
        order (FilesListOrder | Unset):  Default: 'desc'.
        after (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | FileList]
    """

    kwargs = _get_kwargs(
        purpose=purpose,
        limit=limit,
        order=order,
        after=after,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    purpose: ListedPurpose | Unset = UNSET,
    limit: int | Unset = 10000,
    order: FilesListOrder | Unset = "desc",
    after: str | Unset = UNSET,
) -> ErrorAnswer | FileList | None:
    """List files

    Args:
        purpose (ListedPurpose | Unset):
        limit (int | Unset):  Default: 10000.
        order (FilesListOrder | Unset):  Default: 'desc'.
        after (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | FileList
    """

    return (
        await asyncio_detailed(
            client=client,
            purpose=purpose,
            limit=limit,
            order=order,
            after=after,
        )
    ).parsed
