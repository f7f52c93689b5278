from http import HTTPStatus
from typing import Any

import httpx

from ...client import AuthenticatedClient, Client
from ...models.error_answer import ErrorAnswer
from ...models.fine_tuning_job_list import FineTuningJobList
from ...models.fine_tuning_jobs_list_metadata import FineTuningJobsListMetadata
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    after: str | Unset = UNSET,
    limit: int | Unset = 20,
    metadata: FineTuningJobsListMetadata | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["after"] = after

    params["limit"] = limit

    json_metadata: dict[str, Any] | Unset = UNSET
    if not isinstance(metadata, Unset):
        json_metadata = metadata.to_dict()
    if not isinstance(json_metadata, Unset):
        params.update(json_metadata)

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/fine_tuning/jobs",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorAnswer | FineTuningJobList:
    if response.status_code == 200:
        response_200 = FineTuningJobList.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorAnswer | FineTuningJobList]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    after: str | Unset = UNSET,
    limit: int | Unset = 20,
    metadata: FineTuningJobsListMetadata | Unset = UNSET,
) -> Response[ErrorAnswer | FineTuningJobList]:
    """List fine-tuning jobs

     Lists jobs, newest first. A page has at most 100 jobs, even if `limit` is greater.

    Args:
        after (str | Unset):
        limit (int | Unset):  Default: 20.
        metadata (FineTuningJobsListMetadata | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | FineTuningJobList]
    """

    kwargs = _get_kwargs(
        after=after,
        limit=limit,
        metadata=metadata,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    after: str | Unset = UNSET,
    limit: int | Unset = 20,
    metadata: FineTuningJobsListMetadata | Unset = UNSET,
) -> ErrorAnswer | FineTuningJobList | None:
    """List fine-tuning jobs

     Lists jobs, newest first. A page has at most 100 jobs, even if `limit` is greater.

    Args:
        after (str | Unset):
        limit (int | Unset):  Default: 20.
        metadata (FineTuningJobsListMetadata | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | FineTuningJobList
    """

    return sync_detailed(
        client=client,
        after=after,
        limit=limit,
        metadata=metadata,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    after: str | Unset = UNSET,
    limit: int | Unset = 20,
    metadata: FineTuningJobsListMetadata | Unset = UNSET,
) -> Response[ErrorAnswer | FineTuningJobList]:
    """List fine-tuning jobs

     Lists jobs, newest first. A page has at most 100 jobs, even if `limit` is greater.

    Args:
        after (str | Unset):
        limit (int | Unset):  Default: 20.
        metadata (FineTuningJobsListMetadata | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | FineTuningJobList]
    """

    kwargs = _get_kwargs(
        after=after,
        limit=limit,
        metadata=metadata,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    after: str | Unset = UNSET,
    limit: int | Unset = 20,
    metadata: FineTuningJobsListMetadata | Unset = UNSET,
) -> ErrorAnswer | FineTuningJobList | None:
    """List fine-tuning jobs

     Lists jobs, newest first. A page has at most 100 jobs, even if `limit` is greater.

    Args:
        after (str | Unset):
        limit (int | Unset):  Default: 20.
        metadata (FineTuningJobsListMetadata | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | FineTuningJobList
    """

    return (
        await asyncio_detailed(
            client=client,
            after=after,
            limit=limit,
            metadata=metadata,
        )
    ).parsed
