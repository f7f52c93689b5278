from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.created_service_account import CreatedServiceAccount
from ...models.error_answer import ErrorAnswer
from ...models.service_account_body import ServiceAccountBody
from ...types import Response


def _get_kwargs(
    project_id: str,
    *,
    body: ServiceAccountBody,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/organization/projects/{project_id}/service_accounts".format(
            project_id=segment(str(project_id)),
        ),
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> CreatedServiceAccount | ErrorAnswer:
    if response.status_code == 200:
        response_200 = CreatedServiceAccount.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[CreatedServiceAccount | ErrorAnswer]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    project_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: ServiceAccountBody,
) -> Response[CreatedServiceAccount | ErrorAnswer]:
    """Create a service account

     Creates a service account and its first key, which is shown only once.

    Args:
        project_id (str):
        body (ServiceAccountBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[CreatedServiceAccount | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        project_id=project_id,
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    project_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: ServiceAccountBody,
) -> CreatedServiceAccount | ErrorAnswer | None:
    """Create a service account

     Creates a service account and its first key, which is shown only once.

    Args:
        project_id (str):
        body (ServiceAccountBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        CreatedServiceAccount | ErrorAnswer
    """

    return sync_detailed(
        project_id=project_id,
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    project_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: ServiceAccountBody,
) -> Response[CreatedServiceAccount | ErrorAnswer]:
    """Create a service account

     Creates a service account and its first key, which is shown only once.

    Args:
        project_id (str):
        body (ServiceAccountBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[CreatedServiceAccount | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        project_id=project_id,
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    project_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: ServiceAccountBody,
) -> CreatedServiceAccount | ErrorAnswer | None:
    """Create a service account

     Creates a service account and its first key, which is shown only once.

    Args:
        project_id (str):
        body (ServiceAccountBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        CreatedServiceAccount | ErrorAnswer
    """

    return (
        await asyncio_detailed(
            project_id=project_id,
            client=client,
            body=body,
        )
    ).parsed
