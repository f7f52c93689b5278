from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.deleted_service_account import DeletedServiceAccount
from ...models.error_answer import ErrorAnswer
from ...types import Response


def _get_kwargs(
    project_id: str,
    service_account_id: str,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "delete",
        "url": "/v1/organization/projects/{project_id}/service_accounts/{service_account_id}".format(
            project_id=segment(str(project_id)),
            service_account_id=segment(str(service_account_id)),
        ),
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> DeletedServiceAccount | ErrorAnswer:
    if response.status_code == 200:
        response_200 = DeletedServiceAccount.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[DeletedServiceAccount | ErrorAnswer]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    project_id: str,
    service_account_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[DeletedServiceAccount | ErrorAnswer]:
    """Delete a service account

     Its keys are refused from the next request on.

    Args:
        project_id (str):
        service_account_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[DeletedServiceAccount | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        project_id=project_id,
        service_account_id=service_account_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    project_id: str,
    service_account_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> DeletedServiceAccount | ErrorAnswer | None:
    """Delete a service account

     Its keys are refused from the next request on.

    Args:
        project_id (str):
        service_account_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        DeletedServiceAccount | ErrorAnswer
    """

    return sync_detailed(
        project_id=project_id,
        service_account_id=service_account_id,
        client=client,
    ).parsed


async def asyncio_detailed(
    project_id: str,
    service_account_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[DeletedServiceAccount | ErrorAnswer]:
    """Delete a service account

     Its keys are refused from the next request on.

    Args:
        project_id (str):
        service_account_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[DeletedServiceAccount | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        project_id=project_id,
        service_account_id=service_account_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    project_id: str,
    service_account_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> DeletedServiceAccount | ErrorAnswer | None:
    """Delete a service account

     Its keys are refused from the next request on.

    Args:
        project_id (str):
        service_account_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        DeletedServiceAccount | ErrorAnswer
    """

    return (
        await asyncio_detailed(
            project_id=project_id,
            service_account_id=service_account_id,
            client=client,
        )
    ).parsed
