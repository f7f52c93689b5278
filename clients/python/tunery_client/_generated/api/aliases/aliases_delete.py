from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.deleted_alias import DeletedAlias
from ...models.error_answer import ErrorAnswer
from ...types import UNSET, Response, Unset


def _get_kwargs(
    alias: str,
    *,
    version: int | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["version"] = version

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "delete",
        "url": "/v1/aliases/{alias}".format(
            alias=segment(str(alias)),
        ),
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> DeletedAlias | ErrorAnswer:
    if response.status_code == 200:
        response_200 = DeletedAlias.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[DeletedAlias | ErrorAnswer]:
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
    version: int | Unset = UNSET,
) -> Response[DeletedAlias | ErrorAnswer]:
    """Delete an alias

     Deletes the alias. The model that it points at is kept.

    Args:
        alias (str):
        version (int | Unset): The version that the alias is expected to have now.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[DeletedAlias | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        alias=alias,
        version=version,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    alias: str,
    *,
    client: AuthenticatedClient | Client,
    version: int | Unset = UNSET,
) -> DeletedAlias | ErrorAnswer | None:
    """Delete an alias

     Deletes the alias. The model that it points at is kept.

    Args:
        alias (str):
        version (int | Unset): The version that the alias is expected to have now.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        DeletedAlias | ErrorAnswer
    """

    return sync_detailed(
        alias=alias,
        client=client,
        version=version,
    ).parsed


async def asyncio_detailed(
    alias: str,
    *,
    client: AuthenticatedClient | Client,
    version: int | Unset = UNSET,
) -> Response[DeletedAlias | ErrorAnswer]:
    """Delete an alias

     Deletes the alias. The model that it points at is kept.

    Args:
        alias (str):
        version (int | Unset): The version that the alias is expected to have now.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[DeletedAlias | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        alias=alias,
        version=version,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    alias: str,
    *,
    client: AuthenticatedClient | Client,
    version: int | Unset = UNSET,
) -> DeletedAlias | ErrorAnswer | None:
    """Delete an alias

     Deletes the alias. The model that it points at is kept.

    Args:
        alias (str):
        version (int | Unset): The version that the alias is expected to have now.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        DeletedAlias | ErrorAnswer
    """

    return (
        await asyncio_detailed(
            alias=alias,
            client=client,
            version=version,
        )
    ).parsed
