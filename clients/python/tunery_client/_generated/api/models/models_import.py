from http import HTTPStatus
from typing import Any

import httpx

from ...client import AuthenticatedClient, Client
from ...models.error_answer import ErrorAnswer
from ...models.import_model_body import ImportModelBody
from ...models.model_import import ModelImport
from ...types import Response


def _get_kwargs(
    *,
    body: ImportModelBody,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/models/import",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorAnswer | ModelImport:
    if response.status_code == 200:
        response_200 = ModelImport.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorAnswer | ModelImport]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: ImportModelBody,
) -> Response[ErrorAnswer | ModelImport]:
    """Import an adapter

     A plain LoRA adapter in PEFT's format, with safetensors. It is checked against its base and tried in
    the engine; the model exists once the import has `succeeded`.

    Args:
        body (ImportModelBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | ModelImport]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: ImportModelBody,
) -> ErrorAnswer | ModelImport | None:
    """Import an adapter

     A plain LoRA adapter in PEFT's format, with safetensors. It is checked against its base and tried in
    the engine; the model exists once the import has `succeeded`.

    Args:
        body (ImportModelBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | ModelImport
    """

    return sync_detailed(
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: ImportModelBody,
) -> Response[ErrorAnswer | ModelImport]:
    """Import an adapter

     A plain LoRA adapter in PEFT's format, with safetensors. It is checked against its base and tried in
    the engine; the model exists once the import has `succeeded`.

    Args:
        body (ImportModelBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | ModelImport]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: ImportModelBody,
) -> ErrorAnswer | ModelImport | None:
    """Import an adapter

     A plain LoRA adapter in PEFT's format, with safetensors. It is checked against its base and tried in
    the engine; the model exists once the import has `succeeded`.

    Args:
        body (ImportModelBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | ModelImport
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
        )
    ).parsed
