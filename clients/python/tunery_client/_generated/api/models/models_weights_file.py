from http import HTTPStatus
from io import BytesIO
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.error_answer import ErrorAnswer
from ...models.models_weights_file_format import (
    ModelsWeightsFileFormat,
)
from ...models.models_weights_file_quantization import (
    ModelsWeightsFileQuantization,
)
from ...types import UNSET, File, Response, Unset


def _get_kwargs(
    model: str,
    filename: str,
    *,
    format_: ModelsWeightsFileFormat | Unset = "original",
    quantization: ModelsWeightsFileQuantization | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    json_format_: str | Unset = UNSET
    if not isinstance(format_, Unset):
        json_format_ = format_

    params["format"] = json_format_

    json_quantization: str | Unset = UNSET
    if not isinstance(quantization, Unset):
        json_quantization = quantization

    params["quantization"] = json_quantization

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/models/{model}/weights/{filename}".format(
            model=segment(str(model)),
            filename=segment(str(filename)),
        ),
        "params": params,
    }

    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> ErrorAnswer | File:
    if response.status_code == 200:
        response_200 = File(payload=BytesIO(response.content))

        return response_200

    if response.status_code == 206:
        response_206 = File(payload=BytesIO(response.content))

        return response_206

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorAnswer | File]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    model: str,
    filename: str,
    *,
    client: AuthenticatedClient | Client,
    format_: ModelsWeightsFileFormat | Unset = "original",
    quantization: ModelsWeightsFileQuantization | Unset = UNSET,
) -> Response[ErrorAnswer | File]:
    """Download a file of a tuned model's weights

     Answers single ranges. The `ETag` is the file's SHA-256 in hex, and `Repr-Digest` (RFC 9530) has it
    in
    base64.

    Args:
        model (str):
        filename (str):
        format_ (ModelsWeightsFileFormat | Unset): `original`: as the model was trained. `merged`:
            a full model, which full fine-tunes are already. `gguf`: for llama.cpp. What the model
            does not have already must be exported before. Default: 'original'.
        quantization (ModelsWeightsFileQuantization | Unset): The quantization of a `gguf` export:
            `f16`, the default, `bf16` or `q8_0`.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | File]
    """

    kwargs = _get_kwargs(
        model=model,
        filename=filename,
        format_=format_,
        quantization=quantization,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    model: str,
    filename: str,
    *,
    client: AuthenticatedClient | Client,
    format_: ModelsWeightsFileFormat | Unset = "original",
    quantization: ModelsWeightsFileQuantization | Unset = UNSET,
) -> ErrorAnswer | File | None:
    """Download a file of a tuned model's weights

     Answers single ranges. The `ETag` is the file's SHA-256 in hex, and `Repr-Digest` (RFC 9530) has it
    in
    base64.

    Args:
        model (str):
        filename (str):
        format_ (ModelsWeightsFileFormat | Unset): `original`: as the model was trained. `merged`:
            a full model, which full fine-tunes are already. `gguf`: for llama.cpp. What the model
            does not have already must be exported before. Default: 'original'.
        quantization (ModelsWeightsFileQuantization | Unset): The quantization of a `gguf` export:
            `f16`, the default, `bf16` or `q8_0`.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | File
    """

    return sync_detailed(
        model=model,
        filename=filename,
        client=client,
        format_=format_,
        quantization=quantization,
    ).parsed


async def asyncio_detailed(
    model: str,
    filename: str,
    *,
    client: AuthenticatedClient | Client,
    format_: ModelsWeightsFileFormat | Unset = "original",
    quantization: ModelsWeightsFileQuantization | Unset = UNSET,
) -> Response[ErrorAnswer | File]:
    """Download a file of a tuned model's weights

     Answers single ranges. The `ETag` is the file's SHA-256 in hex, and `Repr-Digest` (RFC 9530) has it
    in
    base64.

    Args:
        model (str):
        filename (str):
        format_ (ModelsWeightsFileFormat | Unset): `original`: as the model was trained. `merged`:
            a full model, which full fine-tunes are already. `gguf`: for llama.cpp. What the model
            does not have already must be exported before. Default: 'original'.
        quantization (ModelsWeightsFileQuantization | Unset): The quantization of a `gguf` export:
            `f16`, the default, `bf16` or `q8_0`.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | File]
    """

    kwargs = _get_kwargs(
        model=model,
        filename=filename,
        format_=format_,
        quantization=quantization,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    model: str,
    filename: str,
    *,
    client: AuthenticatedClient | Client,
    format_: ModelsWeightsFileFormat | Unset = "original",
    quantization: ModelsWeightsFileQuantization | Unset = UNSET,
) -> ErrorAnswer | File | None:
    """Download a file of a tuned model's weights

     Answers single ranges. The `ETag` is the file's SHA-256 in hex, and `Repr-Digest` (RFC 9530) has it
    in
    base64.

    Args:
        model (str):
        filename (str):
        format_ (ModelsWeightsFileFormat | Unset): `original`: as the model was trained. `merged`:
            a full model, which full fine-tunes are already. `gguf`: for llama.cpp. What the model
            does not have already must be exported before. Default: 'original'.
        quantization (ModelsWeightsFileQuantization | Unset): The quantization of a `gguf` export:
            `f16`, the default, `bf16` or `q8_0`.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | File
    """

    return (
        await asyncio_detailed(
            model=model,
            filename=filename,
            client=client,
            format_=format_,
            quantization=quantization,
        )
    ).parsed
