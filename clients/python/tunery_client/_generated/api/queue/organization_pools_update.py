from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.device_pool import DevicePool
from ...models.error_answer import ErrorAnswer
from ...models.update_pool_body import UpdatePoolBody
from ...types import Response


def _get_kwargs(
    name: str,
    *,
    body: UpdatePoolBody,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/organization/pools/{name}".format(
            name=segment(str(name)),
        ),
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> DevicePool | ErrorAnswer:
    if response.status_code == 200:
        response_200 = DevicePool.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[DevicePool | ErrorAnswer]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    name: str,
    *,
    client: AuthenticatedClient | Client,
    body: UpdatePoolBody,
) -> Response[DevicePool | ErrorAnswer]:
    """Limit a pool of devices

     Jobs of all organizations then hold no more of its devices. Those that hold more already go on with
    them. A Tunery extension.

    Args:
        name (str):
        body (UpdatePoolBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[DevicePool | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        name=name,
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    name: str,
    *,
    client: AuthenticatedClient | Client,
    body: UpdatePoolBody,
) -> DevicePool | ErrorAnswer | None:
    """Limit a pool of devices

     Jobs of all organizations then hold no more of its devices. Those that hold more already go on with
    them. A Tunery extension.

    Args:
        name (str):
        body (UpdatePoolBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        DevicePool | ErrorAnswer
    """

    return sync_detailed(
        name=name,
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    name: str,
    *,
    client: AuthenticatedClient | Client,
    body: UpdatePoolBody,
) -> Response[DevicePool | ErrorAnswer]:
    """Limit a pool of devices

     Jobs of all organizations then hold no more of its devices. Those that hold more already go on with
    them. A Tunery extension.

    Args:
        name (str):
        body (UpdatePoolBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[DevicePool | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        name=name,
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    name: str,
    *,
    client: AuthenticatedClient | Client,
    body: UpdatePoolBody,
) -> DevicePool | ErrorAnswer | None:
    """Limit a pool of devices

     Jobs of all organizations then hold no more of its devices. Those that hold more already go on with
    them. A Tunery extension.

    Args:
        name (str):
        body (UpdatePoolBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        DevicePool | ErrorAnswer
    """

    return (
        await asyncio_detailed(
            name=name,
            client=client,
            body=body,
        )
    ).parsed
