from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.error_answer import ErrorAnswer
from ...models.project_encryption import ProjectEncryption
from ...types import Response


def _get_kwargs(
    organization_id: str,
    project_id: str,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "delete",
        "url": "/v1/organizations/{organization_id}/projects/{project_id}/encryption".format(
            organization_id=segment(str(organization_id)),
            project_id=segment(str(project_id)),
        ),
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorAnswer | ProjectEncryption:
    if response.status_code == 200:
        response_200 = ProjectEncryption.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorAnswer | ProjectEncryption]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    organization_id: str,
    project_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[ErrorAnswer | ProjectEncryption]:
    """Remove a project's key of storage

     What was written with the key needs it for as long as it is kept.

    Args:
        organization_id (str):
        project_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | ProjectEncryption]
    """

    kwargs = _get_kwargs(
        organization_id=organization_id,
        project_id=project_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    organization_id: str,
    project_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> ErrorAnswer | ProjectEncryption | None:
    """Remove a project's key of storage

     What was written with the key needs it for as long as it is kept.

    Args:
        organization_id (str):
        project_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | ProjectEncryption
    """

    return sync_detailed(
        organization_id=organization_id,
        project_id=project_id,
        client=client,
    ).parsed


async def asyncio_detailed(
    organization_id: str,
    project_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[ErrorAnswer | ProjectEncryption]:
    """Remove a project's key of storage

     What was written with the key needs it for as long as it is kept.

    Args:
        organization_id (str):
        project_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | ProjectEncryption]
    """

    kwargs = _get_kwargs(
        organization_id=organization_id,
        project_id=project_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    organization_id: str,
    project_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> ErrorAnswer | ProjectEncryption | None:
    """Remove a project's key of storage

     What was written with the key needs it for as long as it is kept.

    Args:
        organization_id (str):
        project_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | ProjectEncryption
    """

    return (
        await asyncio_detailed(
            organization_id=organization_id,
            project_id=project_id,
            client=client,
        )
    ).parsed
