from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.error_answer import ErrorAnswer
from ...models.part_upload import PartUpload
from ...models.upload_part import UploadPart
from ...types import Response


def _get_kwargs(
    upload_id: str,
    *,
    body: PartUpload,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/uploads/{upload_id}/parts".format(
            upload_id=segment(str(upload_id)),
        ),
    }

    _kwargs["files"] = body.to_multipart()

    headers["Content-Type"] = "multipart/form-data; boundary=+++"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorAnswer | UploadPart:
    if response.status_code == 200:
        response_200 = UploadPart.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorAnswer | UploadPart]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    upload_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: PartUpload,
) -> Response[ErrorAnswer | UploadPart]:
    """Add a part

     At most 64 MiB. Parts may be sent at the same time; their order is given when the upload is
    completed.
    If the connection breaks, send the part again.

    Args:
        upload_id (str):
        body (PartUpload):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | UploadPart]
    """

    kwargs = _get_kwargs(
        upload_id=upload_id,
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    upload_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: PartUpload,
) -> ErrorAnswer | UploadPart | None:
    """Add a part

     At most 64 MiB. Parts may be sent at the same time; their order is given when the upload is
    completed.
    If the connection breaks, send the part again.

    Args:
        upload_id (str):
        body (PartUpload):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | UploadPart
    """

    return sync_detailed(
        upload_id=upload_id,
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    upload_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: PartUpload,
) -> Response[ErrorAnswer | UploadPart]:
    """Add a part

     At most 64 MiB. Parts may be sent at the same time; their order is given when the upload is
    completed.
    If the connection breaks, send the part again.

    Args:
        upload_id (str):
        body (PartUpload):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | UploadPart]
    """

    kwargs = _get_kwargs(
        upload_id=upload_id,
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    upload_id: str,
    *,
    client: AuthenticatedClient | Client,
    body: PartUpload,
) -> ErrorAnswer | UploadPart | None:
    """Add a part

     At most 64 MiB. Parts may be sent at the same time; their order is given when the upload is
    completed.
    If the connection breaks, send the part again.

    Args:
        upload_id (str):
        body (PartUpload):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | UploadPart
    """

    return (
        await asyncio_detailed(
            upload_id=upload_id,
            client=client,
            body=body,
        )
    ).parsed
