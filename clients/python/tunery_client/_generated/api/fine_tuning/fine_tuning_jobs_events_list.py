from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.error_answer import ErrorAnswer
from ...models.fine_tuning_job_event_list import FineTuningJobEventList
from ...types import UNSET, Response, Unset


def _get_kwargs(
    job_id: str,
    *,
    after: str | Unset = UNSET,
    limit: int | Unset = 20,
    stream: bool | Unset = False,
    last_event_id: int | Unset = -1,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(last_event_id, Unset):
        headers["last-event-id"] = str(last_event_id)

    params: dict[str, Any] = {}

    params["after"] = after

    params["limit"] = limit

    params["stream"] = stream

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/fine_tuning/jobs/{job_id}/events".format(
            job_id=segment(str(job_id)),
        ),
        "params": params,
    }

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorAnswer | FineTuningJobEventList:
    if response.status_code == 200:
        response_200 = FineTuningJobEventList.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorAnswer | FineTuningJobEventList]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    job_id: str,
    *,
    client: AuthenticatedClient | Client,
    after: str | Unset = UNSET,
    limit: int | Unset = 20,
    stream: bool | Unset = False,
    last_event_id: int | Unset = -1,
) -> Response[ErrorAnswer | FineTuningJobEventList]:
    """List or follow a job's events

     Lists the job's events, newest first. A page has at most 1,000 events, even if `limit` is greater.
    With
    `stream=true`, sends server-sent events, starting with the first one or after the one named in the
    `Last-Event-ID` header, until the job has ended and all its events have been sent. If the server
    restarts
    in between, reconnect with `Last-Event-ID`.

    Args:
        job_id (str):
        after (str | Unset):
        limit (int | Unset):  Default: 20.
        stream (bool | Unset):  Default: False.
        last_event_id (int | Unset):  Default: -1.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | FineTuningJobEventList]
    """

    kwargs = _get_kwargs(
        job_id=job_id,
        after=after,
        limit=limit,
        stream=stream,
        last_event_id=last_event_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    job_id: str,
    *,
    client: AuthenticatedClient | Client,
    after: str | Unset = UNSET,
    limit: int | Unset = 20,
    stream: bool | Unset = False,
    last_event_id: int | Unset = -1,
) -> ErrorAnswer | FineTuningJobEventList | None:
    """List or follow a job's events

     Lists the job's events, newest first. A page has at most 1,000 events, even if `limit` is greater.
    With
    `stream=true`, sends server-sent events, starting with the first one or after the one named in the
    `Last-Event-ID` header, until the job has ended and all its events have been sent. If the server
    restarts
    in between, reconnect with `Last-Event-ID`.

    Args:
        job_id (str):
        after (str | Unset):
        limit (int | Unset):  Default: 20.
        stream (bool | Unset):  Default: False.
        last_event_id (int | Unset):  Default: -1.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | FineTuningJobEventList
    """

    return sync_detailed(
        job_id=job_id,
        client=client,
        after=after,
        limit=limit,
        stream=stream,
        last_event_id=last_event_id,
    ).parsed


async def asyncio_detailed(
    job_id: str,
    *,
    client: AuthenticatedClient | Client,
    after: str | Unset = UNSET,
    limit: int | Unset = 20,
    stream: bool | Unset = False,
    last_event_id: int | Unset = -1,
) -> Response[ErrorAnswer | FineTuningJobEventList]:
    """List or follow a job's events

     Lists the job's events, newest first. A page has at most 1,000 events, even if `limit` is greater.
    With
    `stream=true`, sends server-sent events, starting with the first one or after the one named in the
    `Last-Event-ID` header, until the job has ended and all its events have been sent. If the server
    restarts
    in between, reconnect with `Last-Event-ID`.

    Args:
        job_id (str):
        after (str | Unset):
        limit (int | Unset):  Default: 20.
        stream (bool | Unset):  Default: False.
        last_event_id (int | Unset):  Default: -1.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | FineTuningJobEventList]
    """

    kwargs = _get_kwargs(
        job_id=job_id,
        after=after,
        limit=limit,
        stream=stream,
        last_event_id=last_event_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    job_id: str,
    *,
    client: AuthenticatedClient | Client,
    after: str | Unset = UNSET,
    limit: int | Unset = 20,
    stream: bool | Unset = False,
    last_event_id: int | Unset = -1,
) -> ErrorAnswer | FineTuningJobEventList | None:
    """List or follow a job's events

     Lists the job's events, newest first. A page has at most 1,000 events, even if `limit` is greater.
    With
    `stream=true`, sends server-sent events, starting with the first one or after the one named in the
    `Last-Event-ID` header, until the job has ended and all its events have been sent. If the server
    restarts
    in between, reconnect with `Last-Event-ID`.

    Args:
        job_id (str):
        after (str | Unset):
        limit (int | Unset):  Default: 20.
        stream (bool | Unset):  Default: False.
        last_event_id (int | Unset):  Default: -1.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | FineTuningJobEventList
    """

    return (
        await asyncio_detailed(
            job_id=job_id,
            client=client,
            after=after,
            limit=limit,
            stream=stream,
            last_event_id=last_event_id,
        )
    ).parsed
