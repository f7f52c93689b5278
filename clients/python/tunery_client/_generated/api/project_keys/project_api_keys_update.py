from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.error_answer import ErrorAnswer
from ...models.project_api_key import ProjectApiKey
from ...models.project_api_key_update_body import ProjectApiKeyUpdateBody
from ...types import Response


def _get_kwargs(
    project_id: str,
    api_key_id: str,
    *,
    body: ProjectApiKeyUpdateBody,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/organization/projects/{project_id}/api_keys/{api_key_id}".format(
            project_id=segment(str(project_id)),
            api_key_id=segment(str(api_key_id)),
        ),
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorAnswer | ProjectApiKey:
    if response.status_code == 200:
        response_200 = ProjectApiKey.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorAnswer | ProjectApiKey]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    project_id: str,
    api_key_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: ProjectApiKeyUpdateBody,
) -> Response[ErrorAnswer | ProjectApiKey]:
    """Change a key of a project

     What is left out stays as it is. An expired key cannot be changed.

    Args:
        project_id (str):
        api_key_id (str):
        body (ProjectApiKeyUpdateBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | ProjectApiKey]
    """

    kwargs = _get_kwargs(
        project_id=project_id,
        api_key_id=api_key_id,
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    project_id: str,
    api_key_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: ProjectApiKeyUpdateBody,
) -> ErrorAnswer | ProjectApiKey | None:
    """Change a key of a project

     What is left out stays as it is. An expired key cannot be changed.

    Args:
        project_id (str):
        api_key_id (str):
        body (ProjectApiKeyUpdateBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | ProjectApiKey
    """

    return sync_detailed(
        project_id=project_id,
        api_key_id=api_key_id,
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    project_id: str,
    api_key_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: ProjectApiKeyUpdateBody,
) -> Response[ErrorAnswer | ProjectApiKey]:
    """Change a key of a project

     What is left out stays as it is. An expired key cannot be changed.

    Args:
        project_id (str):
        api_key_id (str):
        body (ProjectApiKeyUpdateBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | ProjectApiKey]
    """

    kwargs = _get_kwargs(
        project_id=project_id,
        api_key_id=api_key_id,
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    project_id: str,
    api_key_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: ProjectApiKeyUpdateBody,
) -> ErrorAnswer | ProjectApiKey | None:
    """Change a key of a project

     What is left out stays as it is. An expired key cannot be changed.

    Args:
        project_id (str):
        api_key_id (str):
        body (ProjectApiKeyUpdateBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | ProjectApiKey
    """

    return (
        await asyncio_detailed(
            project_id=project_id,
            api_key_id=api_key_id,
            client=client,
            body=body,
        )
    ).parsed
