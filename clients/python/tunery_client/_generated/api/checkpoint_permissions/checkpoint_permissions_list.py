from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.checkpoint_permission_list import CheckpointPermissionList
from ...models.checkpoint_permissions_list_order import (
    CheckpointPermissionsListOrder,
)
from ...models.error_answer import ErrorAnswer
from ...types import UNSET, Response, Unset


def _get_kwargs(
    fine_tuned_model_checkpoint: str,
    *,
    project_id: str | Unset = UNSET,
    after: str | Unset = UNSET,
    limit: int | Unset = 10,
    order: CheckpointPermissionsListOrder | Unset = "descending",
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["project_id"] = project_id

    params["after"] = after

    params["limit"] = limit

    json_order: str | Unset = UNSET
    if not isinstance(order, Unset):
        json_order = order

    params["order"] = json_order

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions".format(
            fine_tuned_model_checkpoint=segment(str(fine_tuned_model_checkpoint)),
        ),
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> CheckpointPermissionList | ErrorAnswer:
    if response.status_code == 200:
        response_200 = CheckpointPermissionList.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[CheckpointPermissionList | ErrorAnswer]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    fine_tuned_model_checkpoint: str,
    *,
    client: AuthenticatedClient | Client,
    project_id: str | Unset = UNSET,
    after: str | Unset = UNSET,
    limit: int | Unset = 10,
    order: CheckpointPermissionsListOrder | Unset = "descending",
) -> Response[CheckpointPermissionList | ErrorAnswer]:
    """List who may use a model

    Args:
        fine_tuned_model_checkpoint (str):
        project_id (str | Unset):
        after (str | Unset):
        limit (int | Unset):  Default: 10.
        order (CheckpointPermissionsListOrder | Unset):  Default: 'descending'.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[CheckpointPermissionList | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        fine_tuned_model_checkpoint=fine_tuned_model_checkpoint,
        project_id=project_id,
        after=after,
        limit=limit,
        order=order,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    fine_tuned_model_checkpoint: str,
    *,
    client: AuthenticatedClient | Client,
    project_id: str | Unset = UNSET,
    after: str | Unset = UNSET,
    limit: int | Unset = 10,
    order: CheckpointPermissionsListOrder | Unset = "descending",
) -> CheckpointPermissionList | ErrorAnswer | None:
    """List who may use a model

    Args:
        fine_tuned_model_checkpoint (str):
        project_id (str | Unset):
        after (str | Unset):
        limit (int | Unset):  Default: 10.
        order (CheckpointPermissionsListOrder | Unset):  Default: 'descending'.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        CheckpointPermissionList | ErrorAnswer
    """

    return sync_detailed(
        fine_tuned_model_checkpoint=fine_tuned_model_checkpoint,
        client=client,
        project_id=project_id,
        after=after,
        limit=limit,
        order=order,
    ).parsed


async def asyncio_detailed(
    fine_tuned_model_checkpoint: str,
    *,
    client: AuthenticatedClient | Client,
    project_id: str | Unset = UNSET,
    after: str | Unset = UNSET,
    limit: int | Unset = 10,
    order: CheckpointPermissionsListOrder | Unset = "descending",
) -> Response[CheckpointPermissionList | ErrorAnswer]:
    """List who may use a model

    Args:
        fine_tuned_model_checkpoint (str):
        project_id (str | Unset):
        after (str | Unset):
        limit (int | Unset):  Default: 10.
        order (CheckpointPermissionsListOrder | Unset):  Default: 'descending'.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[CheckpointPermissionList | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        fine_tuned_model_checkpoint=fine_tuned_model_checkpoint,
        project_id=project_id,
        after=after,
        limit=limit,
        order=order,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    fine_tuned_model_checkpoint: str,
    *,
    client: AuthenticatedClient | Client,
    project_id: str | Unset = UNSET,
    after: str | Unset = UNSET,
    limit: int | Unset = 10,
    order: CheckpointPermissionsListOrder | Unset = "descending",
) -> CheckpointPermissionList | ErrorAnswer | None:
    """List who may use a model

    Args:
        fine_tuned_model_checkpoint (str):
        project_id (str | Unset):
        after (str | Unset):
        limit (int | Unset):  Default: 10.
        order (CheckpointPermissionsListOrder | Unset):  Default: 'descending'.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        CheckpointPermissionList | ErrorAnswer
    """

    return (
        await asyncio_detailed(
            fine_tuned_model_checkpoint=fine_tuned_model_checkpoint,
            client=client,
            project_id=project_id,
            after=after,
            limit=limit,
            order=order,
        )
    ).parsed
