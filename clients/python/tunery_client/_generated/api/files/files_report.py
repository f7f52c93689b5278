from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.error_answer import ErrorAnswer
from ...models.file_report import FileReport
from ...types import UNSET, Response, Unset


def _get_kwargs(
    file_id: str,
    *,
    validation_file: str | Unset = UNSET,
    model: str | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["validation_file"] = validation_file

    params["model"] = model

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/files/{file_id}/report".format(
            file_id=segment(str(file_id)),
        ),
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorAnswer | FileReport:
    if response.status_code == 200:
        response_200 = FileReport.from_dict(response.json())

        return response_200

    if response.status_code == 202:
        response_202 = FileReport.from_dict(response.json())

        return response_202

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorAnswer | FileReport]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    file_id: str,
    *,
    client: AuthenticatedClient | Client,
    validation_file: str | Unset = UNSET,
    model: str | Unset = UNSET,
) -> Response[ErrorAnswer | FileReport]:
    """Check a training file for problems

     Lists all problems by kind, each with the lines and columns of its first 50 occurrences. Errors
    prevent
    the file from being used; warnings never do. With `validation_file`, the report also shows its
    overlap
    with the file. With `model`, lengths are in that model's tokens.

    The first request for a large file is answered with 202 and the status `in_progress`; repeat it
    after
    `Retry-After`.

    Args:
        file_id (str):
        validation_file (str | Unset):
        model (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | FileReport]
    """

    kwargs = _get_kwargs(
        file_id=file_id,
        validation_file=validation_file,
        model=model,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    file_id: str,
    *,
    client: AuthenticatedClient | Client,
    validation_file: str | Unset = UNSET,
    model: str | Unset = UNSET,
) -> ErrorAnswer | FileReport | None:
    """Check a training file for problems

     Lists all problems by kind, each with the lines and columns of its first 50 occurrences. Errors
    prevent
    the file from being used; warnings never do. With `validation_file`, the report also shows its
    overlap
    with the file. With `model`, lengths are in that model's tokens.

    The first request for a large file is answered with 202 and the status `in_progress`; repeat it
    after
    `Retry-After`.

    Args:
        file_id (str):
        validation_file (str | Unset):
        model (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | FileReport
    """

    return sync_detailed(
        file_id=file_id,
        client=client,
        validation_file=validation_file,
        model=model,
    ).parsed


async def asyncio_detailed(
    file_id: str,
    *,
    client: AuthenticatedClient | Client,
    validation_file: str | Unset = UNSET,
    model: str | Unset = UNSET,
) -> Response[ErrorAnswer | FileReport]:
    """Check a training file for problems

     Lists all problems by kind, each with the lines and columns of its first 50 occurrences. Errors
    prevent
    the file from being used; warnings never do. With `validation_file`, the report also shows its
    overlap
    with the file. With `model`, lengths are in that model's tokens.

    The first request for a large file is answered with 202 and the status `in_progress`; repeat it
    after
    `Retry-After`.

    Args:
        file_id (str):
        validation_file (str | Unset):
        model (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | FileReport]
    """

    kwargs = _get_kwargs(
        file_id=file_id,
        validation_file=validation_file,
        model=model,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    file_id: str,
    *,
    client: AuthenticatedClient | Client,
    validation_file: str | Unset = UNSET,
    model: str | Unset = UNSET,
) -> ErrorAnswer | FileReport | None:
    """Check a training file for problems

     Lists all problems by kind, each with the lines and columns of its first 50 occurrences. Errors
    prevent
    the file from being used; warnings never do. With `validation_file`, the report also shows its
    overlap
    with the file. With `model`, lengths are in that model's tokens.

    The first request for a large file is answered with 202 and the status `in_progress`; repeat it
    after
    `Retry-After`.

    Args:
        file_id (str):
        validation_file (str | Unset):
        model (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | FileReport
    """

    return (
        await asyncio_detailed(
            file_id=file_id,
            client=client,
            validation_file=validation_file,
            model=model,
        )
    ).parsed
