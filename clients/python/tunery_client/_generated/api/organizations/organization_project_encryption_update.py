from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.error_answer import ErrorAnswer
from ...models.project_encryption import ProjectEncryption
from ...models.project_encryption_body import ProjectEncryptionBody
from ...types import Response


def _get_kwargs(
    organization_id: str,
    project_id: str,
    *,
    body: ProjectEncryptionBody,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/organizations/{organization_id}/projects/{project_id}/encryption".format(
            organization_id=segment(str(organization_id)),
            project_id=segment(str(project_id)),
        ),
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
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
    body: ProjectEncryptionBody,
) -> Response[ErrorAnswer | ProjectEncryption]:
    """Give a project a key of storage

     Sets the key with which storage encrypts everything written for the project from now on: files and
    parts, what jobs, imports and exports make, and compiled data sets. A running attempt continues as
    it
    began. An object is first written with the key, to check that storage can use it.

    Args:
        organization_id (str):
        project_id (str):
        body (ProjectEncryptionBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | ProjectEncryption]
    """

    kwargs = _get_kwargs(
        organization_id=organization_id,
        project_id=project_id,
        body=body,
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
    body: ProjectEncryptionBody,
) -> ErrorAnswer | ProjectEncryption | None:
    """Give a project a key of storage

     Sets the key with which storage encrypts everything written for the project from now on: files and
    parts, what jobs, imports and exports make, and compiled data sets. A running attempt continues as
    it
    began. An object is first written with the key, to check that storage can use it.

    Args:
        organization_id (str):
        project_id (str):
        body (ProjectEncryptionBody):

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
        body=body,
    ).parsed


async def asyncio_detailed(
    organization_id: str,
    project_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: ProjectEncryptionBody,
) -> Response[ErrorAnswer | ProjectEncryption]:
    """Give a project a key of storage

     Sets the key with which storage encrypts everything written for the project from now on: files and
    parts, what jobs, imports and exports make, and compiled data sets. A running attempt continues as
    it
    began. An object is first written with the key, to check that storage can use it.

    Args:
        organization_id (str):
        project_id (str):
        body (ProjectEncryptionBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | ProjectEncryption]
    """

    kwargs = _get_kwargs(
        organization_id=organization_id,
        project_id=project_id,
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    organization_id: str,
    project_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: ProjectEncryptionBody,
) -> ErrorAnswer | ProjectEncryption | None:
    """Give a project a key of storage

     Sets the key with which storage encrypts everything written for the project from now on: files and
    parts, what jobs, imports and exports make, and compiled data sets. A running attempt continues as
    it
    began. An object is first written with the key, to check that storage can use it.

    Args:
        organization_id (str):
        project_id (str):
        body (ProjectEncryptionBody):

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
            body=body,
        )
    ).parsed
