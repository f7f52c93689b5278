from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.deleted_project_api_key import DeletedProjectApiKey
from ...models.error_answer import ErrorAnswer
from ...types import Response


def _get_kwargs(
    project_id: str,
    api_key_id: str,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "delete",
        "url": "/v1/organization/projects/{project_id}/api_keys/{api_key_id}".format(
            project_id=segment(str(project_id)),
            api_key_id=segment(str(api_key_id)),
        ),
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> DeletedProjectApiKey | ErrorAnswer:
    if response.status_code == 200:
        response_200 = DeletedProjectApiKey.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[DeletedProjectApiKey | ErrorAnswer]:
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
) -> Response[DeletedProjectApiKey | ErrorAnswer]:
    """Delete a key of a project

     The key is refused from the next request on.

    Args:
        project_id (str):
        api_key_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[DeletedProjectApiKey | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        project_id=project_id,
        api_key_id=api_key_id,
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
) -> DeletedProjectApiKey | ErrorAnswer | None:
    """Delete a key of a project

     The key is refused from the next request on.

    Args:
        project_id (str):
        api_key_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        DeletedProjectApiKey | ErrorAnswer
    """

    return sync_detailed(
        project_id=project_id,
        api_key_id=api_key_id,
        client=client,
    ).parsed


async def asyncio_detailed(
    project_id: str,
    api_key_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[DeletedProjectApiKey | ErrorAnswer]:
    """Delete a key of a project

     The key is refused from the next request on.

    Args:
        project_id (str):
        api_key_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[DeletedProjectApiKey | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        project_id=project_id,
        api_key_id=api_key_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    project_id: str,
    api_key_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> DeletedProjectApiKey | ErrorAnswer | None:
    """Delete a key of a project

     The key is refused from the next request on.

    Args:
        project_id (str):
        api_key_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        DeletedProjectApiKey | ErrorAnswer
    """

    return (
        await asyncio_detailed(
            project_id=project_id,
            api_key_id=api_key_id,
            client=client,
        )
    ).parsed
