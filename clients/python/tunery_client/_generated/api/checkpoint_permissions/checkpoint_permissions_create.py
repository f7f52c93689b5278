from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.checkpoint_permission_list import CheckpointPermissionList
from ...models.checkpoint_permissions_body import CheckpointPermissionsBody
from ...models.error_answer import ErrorAnswer
from ...types import Response


def _get_kwargs(
    fine_tuned_model_checkpoint: str,
    *,
    body: CheckpointPermissionsBody,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions".format(
            fine_tuned_model_checkpoint=segment(str(fine_tuned_model_checkpoint)),
        ),
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
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
    body: CheckpointPermissionsBody,
) -> Response[CheckpointPermissionList | ErrorAnswer]:
    """Share a model with projects

     The projects may use the model or checkpoint, and continue from it, from now on.

    Args:
        fine_tuned_model_checkpoint (str):
        body (CheckpointPermissionsBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[CheckpointPermissionList | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        fine_tuned_model_checkpoint=fine_tuned_model_checkpoint,
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    fine_tuned_model_checkpoint: str,
    *,
    client: AuthenticatedClient | Client,
    body: CheckpointPermissionsBody,
) -> CheckpointPermissionList | ErrorAnswer | None:
    """Share a model with projects

     The projects may use the model or checkpoint, and continue from it, from now on.

    Args:
        fine_tuned_model_checkpoint (str):
        body (CheckpointPermissionsBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        CheckpointPermissionList | ErrorAnswer
    """

    return sync_detailed(
        fine_tuned_model_checkpoint=fine_tuned_model_checkpoint,
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    fine_tuned_model_checkpoint: str,
    *,
    client: AuthenticatedClient | Client,
    body: CheckpointPermissionsBody,
) -> Response[CheckpointPermissionList | ErrorAnswer]:
    """Share a model with projects

     The projects may use the model or checkpoint, and continue from it, from now on.

    Args:
        fine_tuned_model_checkpoint (str):
        body (CheckpointPermissionsBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[CheckpointPermissionList | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        fine_tuned_model_checkpoint=fine_tuned_model_checkpoint,
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    fine_tuned_model_checkpoint: str,
    *,
    client: AuthenticatedClient | Client,
    body: CheckpointPermissionsBody,
) -> CheckpointPermissionList | ErrorAnswer | None:
    """Share a model with projects

     The projects may use the model or checkpoint, and continue from it, from now on.

    Args:
        fine_tuned_model_checkpoint (str):
        body (CheckpointPermissionsBody):

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
            body=body,
        )
    ).parsed
