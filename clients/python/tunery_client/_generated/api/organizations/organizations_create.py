from http import HTTPStatus
from typing import Any

import httpx

from ...client import AuthenticatedClient, Client
from ...models.created_organization import CreatedOrganization
from ...models.error_answer import ErrorAnswer
from ...models.organization_body import OrganizationBody
from ...types import Response


def _get_kwargs(
    *,
    body: OrganizationBody,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/organizations",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> CreatedOrganization | ErrorAnswer:
    if response.status_code == 200:
        response_200 = CreatedOrganization.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[CreatedOrganization | ErrorAnswer]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: OrganizationBody,
) -> Response[CreatedOrganization | ErrorAnswer]:
    """Create an organization

     Creates an organization with a project and an admin key, which is shown only once. Organizations see
    nothing of each other, and the operator's key acts in none but its own. A Tunery extension.

    Args:
        body (OrganizationBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[CreatedOrganization | ErrorAnswer]
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
    body: OrganizationBody,
) -> CreatedOrganization | ErrorAnswer | None:
    """Create an organization

     Creates an organization with a project and an admin key, which is shown only once. Organizations see
    nothing of each other, and the operator's key acts in none but its own. A Tunery extension.

    Args:
        body (OrganizationBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        CreatedOrganization | ErrorAnswer
    """

    return sync_detailed(
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: OrganizationBody,
) -> Response[CreatedOrganization | ErrorAnswer]:
    """Create an organization

     Creates an organization with a project and an admin key, which is shown only once. Organizations see
    nothing of each other, and the operator's key acts in none but its own. A Tunery extension.

    Args:
        body (OrganizationBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[CreatedOrganization | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: OrganizationBody,
) -> CreatedOrganization | ErrorAnswer | None:
    """Create an organization

     Creates an organization with a project and an admin key, which is shown only once. Organizations see
    nothing of each other, and the operator's key acts in none but its own. A Tunery extension.

    Args:
        body (OrganizationBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        CreatedOrganization | ErrorAnswer
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
        )
    ).parsed
