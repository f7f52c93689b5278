from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.error_answer import ErrorAnswer
from ...models.organization_limits import OrganizationLimits
from ...models.update_organization_limits_body import UpdateOrganizationLimitsBody
from ...types import Response


def _get_kwargs(
    organization_id: str,
    *,
    body: UpdateOrganizationLimitsBody,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/organizations/{organization_id}/limits".format(
            organization_id=segment(str(organization_id)),
        ),
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
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
    body: UpdateOrganizationLimitsBody,
) -> Response[ErrorAnswer | OrganizationLimits]:
    """Modify an organization's limits

     What it has already beyond a lower limit stays.

    Args:
        organization_id (str):
        body (UpdateOrganizationLimitsBody): Limits that are left out stay as they are.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | OrganizationLimits]
    """

    kwargs = _get_kwargs(
        organization_id=organization_id,
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    organization_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: UpdateOrganizationLimitsBody,
) -> ErrorAnswer | OrganizationLimits | None:
    """Modify an organization's limits

     What it has already beyond a lower limit stays.

    Args:
        organization_id (str):
        body (UpdateOrganizationLimitsBody): Limits that are left out stay as they are.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | OrganizationLimits
    """

    return sync_detailed(
        organization_id=organization_id,
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    organization_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: UpdateOrganizationLimitsBody,
) -> Response[ErrorAnswer | OrganizationLimits]:
    """Modify an organization's limits

     What it has already beyond a lower limit stays.

    Args:
        organization_id (str):
        body (UpdateOrganizationLimitsBody): Limits that are left out stay as they are.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | OrganizationLimits]
    """

    kwargs = _get_kwargs(
        organization_id=organization_id,
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    organization_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: UpdateOrganizationLimitsBody,
) -> ErrorAnswer | OrganizationLimits | None:
    """Modify an organization's limits

     What it has already beyond a lower limit stays.

    Args:
        organization_id (str):
        body (UpdateOrganizationLimitsBody): Limits that are left out stay as they are.

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
            body=body,
        )
    ).parsed
