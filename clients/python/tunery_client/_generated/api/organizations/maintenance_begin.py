from http import HTTPStatus
from typing import Any

import httpx

from ...client import AuthenticatedClient, Client
from ...models.error_answer import ErrorAnswer
from ...models.maintenance_body import MaintenanceBody
from ...models.public_maintenance import PublicMaintenance
from ...types import Response


def _get_kwargs(
    *,
    body: MaintenanceBody,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/maintenance",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorAnswer | PublicMaintenance:
    if response.status_code == 200:
        response_200 = PublicMaintenance.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorAnswer | PublicMaintenance]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: MaintenanceBody,
) -> Response[ErrorAnswer | PublicMaintenance]:
    """Begin maintenance

     Begins maintenance of the whole installation: no job is created or started until it ends. Files can
    be
    uploaded, and models can be used. Called again, it changes whether running jobs pause. A Tunery
    extension.

    Args:
        body (MaintenanceBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | PublicMaintenance]
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
    body: MaintenanceBody,
) -> ErrorAnswer | PublicMaintenance | None:
    """Begin maintenance

     Begins maintenance of the whole installation: no job is created or started until it ends. Files can
    be
    uploaded, and models can be used. Called again, it changes whether running jobs pause. A Tunery
    extension.

    Args:
        body (MaintenanceBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | PublicMaintenance
    """

    return sync_detailed(
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: MaintenanceBody,
) -> Response[ErrorAnswer | PublicMaintenance]:
    """Begin maintenance

     Begins maintenance of the whole installation: no job is created or started until it ends. Files can
    be
    uploaded, and models can be used. Called again, it changes whether running jobs pause. A Tunery
    extension.

    Args:
        body (MaintenanceBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | PublicMaintenance]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: MaintenanceBody,
) -> ErrorAnswer | PublicMaintenance | None:
    """Begin maintenance

     Begins maintenance of the whole installation: no job is created or started until it ends. Files can
    be
    uploaded, and models can be used. Called again, it changes whether running jobs pause. A Tunery
    extension.

    Args:
        body (MaintenanceBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | PublicMaintenance
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
        )
    ).parsed
