from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.error_answer import ErrorAnswer
from ...models.organization_limits import OrganizationLimits
from ...types import Response


def _get_kwargs(
    organization_id: str,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/organizations/{organization_id}/limits".format(
            organization_id=segment(str(organization_id)),
        ),
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorAnswer | OrganizationLimits:
    if response.status_code == 200:
        response_200 = OrganizationLimits.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorAnswer | OrganizationLimits]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    organization_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[ErrorAnswer | OrganizationLimits]:
    """Retrieve an organization's limits

     Returns the organization's limits and how much of each has been used. They apply in addition to
    those
    of its projects, which its own admins set. They apply beside those of its projects, which its own
    admins
    set. A Tunery extension; 9007199254740991 means no limit.

    Args:
        organization_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | OrganizationLimits]
    """

    kwargs = _get_kwargs(
        organization_id=organization_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    organization_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> ErrorAnswer | OrganizationLimits | None:
    """Retrieve an organization's limits

     Returns the organization's limits and how much of each has been used. They apply in addition to
    those
    of its projects, which its own admins set. They apply beside those of its projects, which its own
    admins
    set. A Tunery extension; 9007199254740991 means no limit.

    Args:
        organization_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | OrganizationLimits
    """

    return sync_detailed(
        organization_id=organization_id,
        client=client,
    ).parsed


async def asyncio_detailed(
    organization_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[ErrorAnswer | OrganizationLimits]:
    """Retrieve an organization's limits

     Returns the organization's limits and how much of each has been used. They apply in addition to
    those
    of its projects, which its own admins set. They apply beside those of its projects, which its own
    admins
    set. A Tunery extension; 9007199254740991 means no limit.

    Args:
        organization_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | OrganizationLimits]
    """

    kwargs = _get_kwargs(
        organization_id=organization_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    organization_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> ErrorAnswer | OrganizationLimits | None:
    """Retrieve an organization's limits

     Returns the organization's limits and how much of each has been used. They apply in addition to
    those
    of its projects, which its own admins set. They apply beside those of its projects, which its own
    admins
    set. A Tunery extension; 9007199254740991 means no limit.

    Args:
        organization_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | OrganizationLimits
    """

    return (
        await asyncio_detailed(
            organization_id=organization_id,
            client=client,
        )
    ).parsed
