from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.error_answer import ErrorAnswer
from ...models.export_model_body import ExportModelBody
from ...models.model_export import ModelExport
from ...types import Response


def _get_kwargs(
    model: str,
    *,
    body: ExportModelBody,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/models/{model}/exports".format(
            model=segment(str(model)),
        ),
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorAnswer | ModelExport:
    if response.status_code == 200:
        response_200 = ModelExport.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorAnswer | ModelExport]:
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
    body: ExportModelBody,
) -> Response[ErrorAnswer | ModelExport]:
    """Export a tuned model

     The cluster makes the files. Wait until the export has `succeeded`, then download them from
    `/models/{model}/weights` with the same `format`. An export of the same weights that exists is
    returned
    instead of a new one, and kept for longer.

    Args:
        model (str):
        body (ExportModelBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | ModelExport]
    """

    kwargs = _get_kwargs(
        model=model,
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    model: str,
    *,
    client: AuthenticatedClient | Client,
    body: ExportModelBody,
) -> ErrorAnswer | ModelExport | None:
    """Export a tuned model

     The cluster makes the files. Wait until the export has `succeeded`, then download them from
    `/models/{model}/weights` with the same `format`. An export of the same weights that exists is
    returned
    instead of a new one, and kept for longer.

    Args:
        model (str):
        body (ExportModelBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | ModelExport
    """

    return sync_detailed(
        model=model,
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    model: str,
    *,
    client: AuthenticatedClient | Client,
    body: ExportModelBody,
) -> Response[ErrorAnswer | ModelExport]:
    """Export a tuned model

     The cluster makes the files. Wait until the export has `succeeded`, then download them from
    `/models/{model}/weights` with the same `format`. An export of the same weights that exists is
    returned
    instead of a new one, and kept for longer.

    Args:
        model (str):
        body (ExportModelBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | ModelExport]
    """

    kwargs = _get_kwargs(
        model=model,
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    model: str,
    *,
    client: AuthenticatedClient | Client,
    body: ExportModelBody,
) -> ErrorAnswer | ModelExport | None:
    """Export a tuned model

     The cluster makes the files. Wait until the export has `succeeded`, then download them from
    `/models/{model}/weights` with the same `format`. An export of the same weights that exists is
    returned
    instead of a new one, and kept for longer.

    Args:
        model (str):
        body (ExportModelBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | ModelExport
    """

    return (
        await asyncio_detailed(
            model=model,
            client=client,
            body=body,
        )
    ).parsed
