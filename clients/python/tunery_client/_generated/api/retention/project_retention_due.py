from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.due_for_deletion_list import DueForDeletionList
from ...models.error_answer import ErrorAnswer
from ...types import UNSET, Response, Unset


def _get_kwargs(
    project_id: str,
    *,
    within_days: int | Unset = 0,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["within_days"] = within_days

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/organization/projects/{project_id}/retention/due".format(
            project_id=segment(str(project_id)),
        ),
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> DueForDeletionList | ErrorAnswer:
    if response.status_code == 200:
        response_200 = DueForDeletionList.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[DueForDeletionList | ErrorAnswer]:
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
    within_days: int | Unset = 0,
) -> Response[DueForDeletionList | ErrorAnswer]:
    """List what a project's retention deletes next

     What the next sweep deletes, or with `within_days`, what sweeps delete until then if nothing is used
    meanwhile. Changes nothing.

    Args:
        project_id (str):
        within_days (int | Unset):  Default: 0.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[DueForDeletionList | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        project_id=project_id,
        within_days=within_days,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    project_id: str,
    *,
    client: AuthenticatedClient | Client,
    within_days: int | Unset = 0,
) -> DueForDeletionList | ErrorAnswer | None:
    """List what a project's retention deletes next

     What the next sweep deletes, or with `within_days`, what sweeps delete until then if nothing is used
    meanwhile. Changes nothing.

    Args:
        project_id (str):
        within_days (int | Unset):  Default: 0.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        DueForDeletionList | ErrorAnswer
    """

    return sync_detailed(
        project_id=project_id,
        client=client,
        within_days=within_days,
    ).parsed


async def asyncio_detailed(
    project_id: str,
    *,
    client: AuthenticatedClient | Client,
    within_days: int | Unset = 0,
) -> Response[DueForDeletionList | ErrorAnswer]:
    """List what a project's retention deletes next

     What the next sweep deletes, or with `within_days`, what sweeps delete until then if nothing is used
    meanwhile. Changes nothing.

    Args:
        project_id (str):
        within_days (int | Unset):  Default: 0.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[DueForDeletionList | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        project_id=project_id,
        within_days=within_days,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    project_id: str,
    *,
    client: AuthenticatedClient | Client,
    within_days: int | Unset = 0,
) -> DueForDeletionList | ErrorAnswer | None:
    """List what a project's retention deletes next

     What the next sweep deletes, or with `within_days`, what sweeps delete until then if nothing is used
    meanwhile. Changes nothing.

    Args:
        project_id (str):
        within_days (int | Unset):  Default: 0.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        DueForDeletionList | ErrorAnswer
    """

    return (
        await asyncio_detailed(
            project_id=project_id,
            client=client,
            within_days=within_days,
        )
    ).parsed
