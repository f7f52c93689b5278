from http import HTTPStatus
from typing import Any, Literal

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.error_answer import ErrorAnswer
from ...models.model_weights import ModelWeights
from ...models.models_weights_format import (
    ModelsWeightsFormat,
)
from ...models.models_weights_quantization import (
    ModelsWeightsQuantization,
)
from ...types import UNSET, Response, Unset


def _get_kwargs(
    model: str,
    *,
    format_: ModelsWeightsFormat | Unset = "original",
    quantization: ModelsWeightsQuantization | Unset = UNSET,
    archive: Literal["tar"] | Unset = UNSET,
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

    params["archive"] = archive

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/models/{model}/weights".format(
            model=segment(str(model)),
        ),
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorAnswer | ModelWeights:
    if response.status_code == 200:
        response_200 = ModelWeights.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorAnswer | ModelWeights]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    model: str,
    *,
    client: AuthenticatedClient | Client,
    format_: ModelsWeightsFormat | Unset = "original",
    quantization: ModelsWeightsQuantization | Unset = UNSET,
    archive: Literal["tar"] | Unset = UNSET,
) -> Response[ErrorAnswer | ModelWeights]:
    """List a tuned model's weights

     An adapter is a folder for `PeftModel.from_pretrained`, and a full model one for transformers; each
    comes with a model card. Checkpoints have weights too. Answers 409 `export_not_ready` if the format
    must
    be exported first.

    Args:
        model (str):
        format_ (ModelsWeightsFormat | Unset): `original`: as the model was trained. `merged`: a
            full model, which full fine-tunes are already. `gguf`: for llama.cpp. What the model does
            not have already must be exported before. Default: 'original'.
        quantization (ModelsWeightsQuantization | Unset): The quantization of a `gguf` export:
            `f16`, the default, `bf16` or `q8_0`.
        archive (Literal['tar'] | Unset): `tar`: answers with all files in one uncompressed
            archive, which can be resumed.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | ModelWeights]
    """

    kwargs = _get_kwargs(
        model=model,
        format_=format_,
        quantization=quantization,
        archive=archive,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    model: str,
    *,
    client: AuthenticatedClient | Client,
    format_: ModelsWeightsFormat | Unset = "original",
    quantization: ModelsWeightsQuantization | Unset = UNSET,
    archive: Literal["tar"] | Unset = UNSET,
) -> ErrorAnswer | ModelWeights | None:
    """List a tuned model's weights

     An adapter is a folder for `PeftModel.from_pretrained`, and a full model one for transformers; each
    comes with a model card. Checkpoints have weights too. Answers 409 `export_not_ready` if the format
    must
    be exported first.

    Args:
        model (str):
        format_ (ModelsWeightsFormat | Unset): `original`: as the model was trained. `merged`: a
            full model, which full fine-tunes are already. `gguf`: for llama.cpp. What the model does
            not have already must be exported before. Default: 'original'.
        quantization (ModelsWeightsQuantization | Unset): The quantization of a `gguf` export:
            `f16`, the default, `bf16` or `q8_0`.
        archive (Literal['tar'] | Unset): `tar`: answers with all files in one uncompressed
            archive, which can be resumed.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | ModelWeights
    """

    return sync_detailed(
        model=model,
        client=client,
        format_=format_,
        quantization=quantization,
        archive=archive,
    ).parsed


async def asyncio_detailed(
    model: str,
    *,
    client: AuthenticatedClient | Client,
    format_: ModelsWeightsFormat | Unset = "original",
    quantization: ModelsWeightsQuantization | Unset = UNSET,
    archive: Literal["tar"] | Unset = UNSET,
) -> Response[ErrorAnswer | ModelWeights]:
    """List a tuned model's weights

     An adapter is a folder for `PeftModel.from_pretrained`, and a full model one for transformers; each
    comes with a model card. Checkpoints have weights too. Answers 409 `export_not_ready` if the format
    must
    be exported first.

    Args:
        model (str):
        format_ (ModelsWeightsFormat | Unset): `original`: as the model was trained. `merged`: a
            full model, which full fine-tunes are already. `gguf`: for llama.cpp. What the model does
            not have already must be exported before. Default: 'original'.
        quantization (ModelsWeightsQuantization | Unset): The quantization of a `gguf` export:
            `f16`, the default, `bf16` or `q8_0`.
        archive (Literal['tar'] | Unset): `tar`: answers with all files in one uncompressed
            archive, which can be resumed.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | ModelWeights]
    """

    kwargs = _get_kwargs(
        model=model,
        format_=format_,
        quantization=quantization,
        archive=archive,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    model: str,
    *,
    client: AuthenticatedClient | Client,
    format_: ModelsWeightsFormat | Unset = "original",
    quantization: ModelsWeightsQuantization | Unset = UNSET,
    archive: Literal["tar"] | Unset = UNSET,
) -> ErrorAnswer | ModelWeights | None:
    """List a tuned model's weights

     An adapter is a folder for `PeftModel.from_pretrained`, and a full model one for transformers; each
    comes with a model card. Checkpoints have weights too. Answers 409 `export_not_ready` if the format
    must
    be exported first.

    Args:
        model (str):
        format_ (ModelsWeightsFormat | Unset): `original`: as the model was trained. `merged`: a
            full model, which full fine-tunes are already. `gguf`: for llama.cpp. What the model does
            not have already must be exported before. Default: 'original'.
        quantization (ModelsWeightsQuantization | Unset): The quantization of a `gguf` export:
            `f16`, the default, `bf16` or `q8_0`.
        archive (Literal['tar'] | Unset): `tar`: answers with all files in one uncompressed
            archive, which can be resumed.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | ModelWeights
    """

    return (
        await asyncio_detailed(
            model=model,
            client=client,
            format_=format_,
            quantization=quantization,
            archive=archive,
        )
    ).parsed
