from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.deleted_checkpoint_permission import DeletedCheckpointPermission
from ...models.error_answer import ErrorAnswer
from ...types import Response


def _get_kwargs(
    fine_tuned_model_checkpoint: str,
    permission_id: str,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "delete",
        "url": "/v1/fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions/{permission_id}".format(
            fine_tuned_model_checkpoint=segment(str(fine_tuned_model_checkpoint)),
            permission_id=segment(str(permission_id)),
        ),
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> DeletedCheckpointPermission | ErrorAnswer:
    if response.status_code == 200:
        response_200 = DeletedCheckpointPermission.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[DeletedCheckpointPermission | ErrorAnswer]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    fine_tuned_model_checkpoint: str,
    permission_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[DeletedCheckpointPermission | ErrorAnswer]:
    """Stop sharing a model

     Deletes a permission, effective from the next request. Jobs that were created meanwhile continue.

    Args:
        fine_tuned_model_checkpoint (str):
        permission_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[DeletedCheckpointPermission | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        fine_tuned_model_checkpoint=fine_tuned_model_checkpoint,
        permission_id=permission_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    fine_tuned_model_checkpoint: str,
    permission_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> DeletedCheckpointPermission | ErrorAnswer | None:
    """Stop sharing a model

     Deletes a permission, effective from the next request. Jobs that were created meanwhile continue.

    Args:
        fine_tuned_model_checkpoint (str):
        permission_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        DeletedCheckpointPermission | ErrorAnswer
    """

    return sync_detailed(
        fine_tuned_model_checkpoint=fine_tuned_model_checkpoint,
        permission_id=permission_id,
        client=client,
    ).parsed


async def asyncio_detailed(
    fine_tuned_model_checkpoint: str,
    permission_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[DeletedCheckpointPermission | ErrorAnswer]:
    """Stop sharing a model

     Deletes a permission, effective from the next request. Jobs that were created meanwhile continue.

    Args:
        fine_tuned_model_checkpoint (str):
        permission_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[DeletedCheckpointPermission | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        fine_tuned_model_checkpoint=fine_tuned_model_checkpoint,
        permission_id=permission_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    fine_tuned_model_checkpoint: str,
    permission_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> DeletedCheckpointPermission | ErrorAnswer | None:
    """Stop sharing a model

     Deletes a permission, effective from the next request. Jobs that were created meanwhile continue.

    Args:
        fine_tuned_model_checkpoint (str):
        permission_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        DeletedCheckpointPermission | ErrorAnswer
    """

    return (
        await asyncio_detailed(
            fine_tuned_model_checkpoint=fine_tuned_model_checkpoint,
            permission_id=permission_id,
            client=client,
        )
    ).parsed
