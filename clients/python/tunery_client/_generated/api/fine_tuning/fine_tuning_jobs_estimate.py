from http import HTTPStatus
from typing import Any

import httpx

from ...client import AuthenticatedClient, Client
from ...models.create_job_body import CreateJobBody
from ...models.error_answer import ErrorAnswer
from ...models.fine_tuning_job_estimate import FineTuningJobEstimate
from ...types import Response


def _get_kwargs(
    *,
    body: CreateJobBody,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/fine_tuning/jobs/estimate",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorAnswer | FineTuningJobEstimate:
    if response.status_code == 200:
        response_200 = FineTuningJobEstimate.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorAnswer | FineTuningJobEstimate]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: CreateJobBody,
) -> Response[ErrorAnswer | FineTuningJobEstimate]:
    """Estimate what a job would take

     Checks the body of a create request as creating and validating the job would, with the same errors,
    and
    stores nothing. Tokens and steps are exact; times come from runs that this server has measured.

    If the cluster is still reading a file after some seconds, the answer is 503 with `Retry-After`, and
    the
    same request later finds the result.

    Args:
        body (CreateJobBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | FineTuningJobEstimate]
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
    body: CreateJobBody,
) -> ErrorAnswer | FineTuningJobEstimate | None:
    """Estimate what a job would take

     Checks the body of a create request as creating and validating the job would, with the same errors,
    and
    stores nothing. Tokens and steps are exact; times come from runs that this server has measured.

    If the cluster is still reading a file after some seconds, the answer is 503 with `Retry-After`, and
    the
    same request later finds the result.

    Args:
        body (CreateJobBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | FineTuningJobEstimate
    """

    return sync_detailed(
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: CreateJobBody,
) -> Response[ErrorAnswer | FineTuningJobEstimate]:
    """Estimate what a job would take

     Checks the body of a create request as creating and validating the job would, with the same errors,
    and
    stores nothing. Tokens and steps are exact; times come from runs that this server has measured.

    If the cluster is still reading a file after some seconds, the answer is 503 with `Retry-After`, and
    the
    same request later finds the result.

    Args:
        body (CreateJobBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | FineTuningJobEstimate]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: CreateJobBody,
) -> ErrorAnswer | FineTuningJobEstimate | None:
    """Estimate what a job would take

     Checks the body of a create request as creating and validating the job would, with the same errors,
    and
    stores nothing. Tokens and steps are exact; times come from runs that this server has measured.

    If the cluster is still reading a file after some seconds, the answer is 503 with `Retry-After`, and
    the
    same request later finds the result.

    Args:
        body (CreateJobBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | FineTuningJobEstimate
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
        )
    ).parsed
