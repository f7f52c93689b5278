from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.deleted_project import DeletedProject
from ...models.error_answer import ErrorAnswer
from ...types import Response


def _get_kwargs(
    project_id: str,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "delete",
        "url": "/v1/organization/projects/{project_id}".format(
            project_id=segment(str(project_id)),
        ),
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> DeletedProject | ErrorAnswer:
    if response.status_code == 200:
        response_200 = DeletedProject.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[DeletedProject | ErrorAnswer]:
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
) -> Response[DeletedProject | ErrorAnswer]:
    """Delete a project

     Deletes an archived project with everything in it, for good: files, jobs with their events, models,
    usage, keys, webhooks. The next sweep frees what that had in storage. Models that it shared are gone
    for
    the other projects, too. A Tunery extension.

    Args:
        project_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[DeletedProject | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        project_id=project_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    project_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> DeletedProject | ErrorAnswer | None:
    """Delete a project

     Deletes an archived project with everything in it, for good: files, jobs with their events, models,
    usage, keys, webhooks. The next sweep frees what that had in storage. Models that it shared are gone
    for
    the other projects, too. A Tunery extension.

    Args:
        project_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        DeletedProject | ErrorAnswer
    """

    return sync_detailed(
        project_id=project_id,
        client=client,
    ).parsed


async def asyncio_detailed(
    project_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[DeletedProject | ErrorAnswer]:
    """Delete a project

     Deletes an archived project with everything in it, for good: files, jobs with their events, models,
    usage, keys, webhooks. The next sweep frees what that had in storage. Models that it shared are gone
    for
    the other projects, too. A Tunery extension.

    Args:
        project_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[DeletedProject | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        project_id=project_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    project_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> DeletedProject | ErrorAnswer | None:
    """Delete a project

     Deletes an archived project with everything in it, for good: files, jobs with their events, models,
    usage, keys, webhooks. The next sweep frees what that had in storage. Models that it shared are gone
    for
    the other projects, too. A Tunery extension.

    Args:
        project_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        DeletedProject | ErrorAnswer
    """

    return (
        await asyncio_detailed(
            project_id=project_id,
            client=client,
        )
    ).parsed
