from http import HTTPStatus
from typing import Any

import httpx

from ...client import AuthenticatedClient, Client
from ...models.error_answer import ErrorAnswer
from ...models.fine_tuning_job_preview import FineTuningJobPreview
from ...models.preview_job_body import PreviewJobBody
from ...types import Response


def _get_kwargs(
    *,
    body: PreviewJobBody,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/fine_tuning/jobs/preview",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorAnswer | FineTuningJobPreview:
    if response.status_code == 200:
        response_200 = FineTuningJobPreview.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorAnswer | FineTuningJobPreview]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: PreviewJobBody,
) -> Response[ErrorAnswer | FineTuningJobPreview]:
    """Preview what a job would learn

     Renders rows of the training file with the base's template, token by token, as training will, and
    marks
    the tokens that are learned. Takes the body of a create request, checks it in the same way, and
    stores
    nothing.

    If the cluster is still reading the file after some seconds, the answer is 503 with `Retry-After`,
    and
    the same request later finds the result.

    Args:
        body (PreviewJobBody): The body of a create request, and the rows to show.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | FineTuningJobPreview]
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
    body: PreviewJobBody,
) -> ErrorAnswer | FineTuningJobPreview | None:
    """Preview what a job would learn

     Renders rows of the training file with the base's template, token by token, as training will, and
    marks
    the tokens that are learned. Takes the body of a create request, checks it in the same way, and
    stores
    nothing.

    If the cluster is still reading the file after some seconds, the answer is 503 with `Retry-After`,
    and
    the same request later finds the result.

    Args:
        body (PreviewJobBody): The body of a create request, and the rows to show.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | FineTuningJobPreview
    """

    return sync_detailed(
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: PreviewJobBody,
) -> Response[ErrorAnswer | FineTuningJobPreview]:
    """Preview what a job would learn

     Renders rows of the training file with the base's template, token by token, as training will, and
    marks
    the tokens that are learned. Takes the body of a create request, checks it in the same way, and
    stores
    nothing.

    If the cluster is still reading the file after some seconds, the answer is 503 with `Retry-After`,
    and
    the same request later finds the result.

    Args:
        body (PreviewJobBody): The body of a create request, and the rows to show.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | FineTuningJobPreview]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: PreviewJobBody,
) -> ErrorAnswer | FineTuningJobPreview | None:
    """Preview what a job would learn

     Renders rows of the training file with the base's template, token by token, as training will, and
    marks
    the tokens that are learned. Takes the body of a create request, checks it in the same way, and
    stores
    nothing.

    If the cluster is still reading the file after some seconds, the answer is 503 with `Retry-After`,
    and
    the same request later finds the result.

    Args:
        body (PreviewJobBody): The body of a create request, and the rows to show.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | FineTuningJobPreview
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
        )
    ).parsed
