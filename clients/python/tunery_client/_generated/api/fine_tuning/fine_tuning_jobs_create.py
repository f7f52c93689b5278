from http import HTTPStatus
from typing import Any

import httpx

from ...client import AuthenticatedClient, Client
from ...models.create_job_body import CreateJobBody
from ...models.error_answer import ErrorAnswer
from ...models.fine_tuning_job import FineTuningJob
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    body: CreateJobBody,
    idempotency_key: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(idempotency_key, Unset):
        headers["idempotency-key"] = idempotency_key

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/fine_tuning/jobs",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorAnswer | FineTuningJob:
    if response.status_code == 200:
        response_200 = FineTuningJob.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorAnswer | FineTuningJob]:
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
    idempotency_key: str | Unset = UNSET,
) -> Response[ErrorAnswer | FineTuningJob]:
    """Create a fine-tuning job

     Returns at once, with a job that is `validating_files`. With an `Idempotency-Key`, the same request
    creates only one job per day, however often it is sent. Retries of the openai SDK are recognized
    without
    it.

    Args:
        idempotency_key (str | Unset):
        body (CreateJobBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | FineTuningJob]
    """

    kwargs = _get_kwargs(
        body=body,
        idempotency_key=idempotency_key,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: CreateJobBody,
    idempotency_key: str | Unset = UNSET,
) -> ErrorAnswer | FineTuningJob | None:
    """Create a fine-tuning job

     Returns at once, with a job that is `validating_files`. With an `Idempotency-Key`, the same request
    creates only one job per day, however often it is sent. Retries of the openai SDK are recognized
    without
    it.

    Args:
        idempotency_key (str | Unset):
        body (CreateJobBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | FineTuningJob
    """

    return sync_detailed(
        client=client,
        body=body,
        idempotency_key=idempotency_key,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: CreateJobBody,
    idempotency_key: str | Unset = UNSET,
) -> Response[ErrorAnswer | FineTuningJob]:
    """Create a fine-tuning job

     Returns at once, with a job that is `validating_files`. With an `Idempotency-Key`, the same request
    creates only one job per day, however often it is sent. Retries of the openai SDK are recognized
    without
    it.

    Args:
        idempotency_key (str | Unset):
        body (CreateJobBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | FineTuningJob]
    """

    kwargs = _get_kwargs(
        body=body,
        idempotency_key=idempotency_key,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: CreateJobBody,
    idempotency_key: str | Unset = UNSET,
) -> ErrorAnswer | FineTuningJob | None:
    """Create a fine-tuning job

     Returns at once, with a job that is `validating_files`. With an `Idempotency-Key`, the same request
    creates only one job per day, however often it is sent. Retries of the openai SDK are recognized
    without
    it.

    Args:
        idempotency_key (str | Unset):
        body (CreateJobBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | FineTuningJob
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
            idempotency_key=idempotency_key,
        )
    ).parsed
