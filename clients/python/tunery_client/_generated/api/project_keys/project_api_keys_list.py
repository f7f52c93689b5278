from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.error_answer import ErrorAnswer
from ...models.project_api_key_list import ProjectApiKeyList
from ...models.project_api_keys_list_owner_project_access import (
    ProjectApiKeysListOwnerProjectAccess,
)
from ...types import UNSET, Response, Unset


def _get_kwargs(
    project_id: str,
    *,
    after: str | Unset = UNSET,
    limit: int | Unset = 20,
    owner_project_access: ProjectApiKeysListOwnerProjectAccess | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["after"] = after

    params["limit"] = limit

    json_owner_project_access: str | Unset = UNSET
    if not isinstance(owner_project_access, Unset):
        json_owner_project_access = owner_project_access

    params["owner_project_access"] = json_owner_project_access

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/organization/projects/{project_id}/api_keys".format(
            project_id=segment(str(project_id)),
        ),
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorAnswer | ProjectApiKeyList:
    if response.status_code == 200:
        response_200 = ProjectApiKeyList.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorAnswer | ProjectApiKeyList]:
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
    after: str | Unset = UNSET,
    limit: int | Unset = 20,
    owner_project_access: ProjectApiKeysListOwnerProjectAccess | Unset = UNSET,
) -> Response[ErrorAnswer | ProjectApiKeyList]:
    """List a project's keys

     Newest first, without deleted keys and without admin keys.

    Args:
        project_id (str):
        after (str | Unset):
        limit (int | Unset):  Default: 20.
        owner_project_access (ProjectApiKeysListOwnerProjectAccess | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | ProjectApiKeyList]
    """

    kwargs = _get_kwargs(
        project_id=project_id,
        after=after,
        limit=limit,
        owner_project_access=owner_project_access,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    project_id: str,
    *,
    client: AuthenticatedClient | Client,
    after: str | Unset = UNSET,
    limit: int | Unset = 20,
    owner_project_access: ProjectApiKeysListOwnerProjectAccess | Unset = UNSET,
) -> ErrorAnswer | ProjectApiKeyList | None:
    """List a project's keys

     Newest first, without deleted keys and without admin keys.

    Args:
        project_id (str):
        after (str | Unset):
        limit (int | Unset):  Default: 20.
        owner_project_access (ProjectApiKeysListOwnerProjectAccess | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | ProjectApiKeyList
    """

    return sync_detailed(
        project_id=project_id,
        client=client,
        after=after,
        limit=limit,
        owner_project_access=owner_project_access,
    ).parsed


async def asyncio_detailed(
    project_id: str,
    *,
    client: AuthenticatedClient | Client,
    after: str | Unset = UNSET,
    limit: int | Unset = 20,
    owner_project_access: ProjectApiKeysListOwnerProjectAccess | Unset = UNSET,
) -> Response[ErrorAnswer | ProjectApiKeyList]:
    """List a project's keys

     Newest first, without deleted keys and without admin keys.

    Args:
        project_id (str):
        after (str | Unset):
        limit (int | Unset):  Default: 20.
        owner_project_access (ProjectApiKeysListOwnerProjectAccess | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | ProjectApiKeyList]
    """

    kwargs = _get_kwargs(
        project_id=project_id,
        after=after,
        limit=limit,
        owner_project_access=owner_project_access,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    project_id: str,
    *,
    client: AuthenticatedClient | Client,
    after: str | Unset = UNSET,
    limit: int | Unset = 20,
    owner_project_access: ProjectApiKeysListOwnerProjectAccess | Unset = UNSET,
) -> ErrorAnswer | ProjectApiKeyList | None:
    """List a project's keys

     Newest first, without deleted keys and without admin keys.

    Args:
        project_id (str):
        after (str | Unset):
        limit (int | Unset):  Default: 20.
        owner_project_access (ProjectApiKeysListOwnerProjectAccess | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | ProjectApiKeyList
    """

    return (
        await asyncio_detailed(
            project_id=project_id,
            client=client,
            after=after,
            limit=limit,
            owner_project_access=owner_project_access,
        )
    ).parsed
