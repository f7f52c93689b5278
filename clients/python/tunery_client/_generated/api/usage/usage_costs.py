from http import HTTPStatus
from typing import Any, Literal

import httpx

from ...client import AuthenticatedClient, Client
from ...models.error_answer import ErrorAnswer
from ...models.usage_page import UsagePage
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    start_time: int,
    project_ids: list[str] | Unset = UNSET,
    api_key_ids: list[str] | Unset = UNSET,
    line_items: list[str] | Unset = UNSET,
    group_by: list[str] | Unset = UNSET,
    end_time: int | Unset = UNSET,
    bucket_width: Literal["1d"] | Unset = "1d",
    limit: int | Unset = UNSET,
    page: str | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["start_time"] = start_time

    json_project_ids: list[str] | Unset = UNSET
    if not isinstance(project_ids, Unset):
        json_project_ids = project_ids

    params["project_ids"] = json_project_ids

    json_api_key_ids: list[str] | Unset = UNSET
    if not isinstance(api_key_ids, Unset):
        json_api_key_ids = api_key_ids

    params["api_key_ids"] = json_api_key_ids

    json_line_items: list[str] | Unset = UNSET
    if not isinstance(line_items, Unset):
        json_line_items = line_items

    params["line_items"] = json_line_items

    json_group_by: list[str] | Unset = UNSET
    if not isinstance(group_by, Unset):
        json_group_by = group_by

    params["group_by"] = json_group_by

    params["end_time"] = end_time

    params["bucket_width"] = bucket_width

    params["limit"] = limit

    params["page"] = page

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/organization/costs",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorAnswer | UsagePage:
    if response.status_code == 200:
        response_200 = UsagePage.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorAnswer | UsagePage]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    start_time: int,
    project_ids: list[str] | Unset = UNSET,
    api_key_ids: list[str] | Unset = UNSET,
    line_items: list[str] | Unset = UNSET,
    group_by: list[str] | Unset = UNSET,
    end_time: int | Unset = UNSET,
    bucket_width: Literal["1d"] | Unset = "1d",
    limit: int | Unset = UNSET,
    page: str | Unset = UNSET,
) -> Response[ErrorAnswer | UsagePage]:
    """Costs

     Usage times the prices of the server's settings, as they are now. Usage that has no price is left
    out;
    if there are no prices at all, the answer is 400 `prices_not_set`. Nothing is billed.

    Args:
        start_time (int): Unix seconds.
        project_ids (list[str] | Unset):
        api_key_ids (list[str] | Unset):
        line_items (list[str] | Unset):
        group_by (list[str] | Unset):
        end_time (int | Unset): Exclusive; now by default.
        bucket_width (Literal['1d'] | Unset):  Default: '1d'.
        limit (int | Unset): Buckets of a page.
        page (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | UsagePage]
    """

    kwargs = _get_kwargs(
        start_time=start_time,
        project_ids=project_ids,
        api_key_ids=api_key_ids,
        line_items=line_items,
        group_by=group_by,
        end_time=end_time,
        bucket_width=bucket_width,
        limit=limit,
        page=page,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    start_time: int,
    project_ids: list[str] | Unset = UNSET,
    api_key_ids: list[str] | Unset = UNSET,
    line_items: list[str] | Unset = UNSET,
    group_by: list[str] | Unset = UNSET,
    end_time: int | Unset = UNSET,
    bucket_width: Literal["1d"] | Unset = "1d",
    limit: int | Unset = UNSET,
    page: str | Unset = UNSET,
) -> ErrorAnswer | UsagePage | None:
    """Costs

     Usage times the prices of the server's settings, as they are now. Usage that has no price is left
    out;
    if there are no prices at all, the answer is 400 `prices_not_set`. Nothing is billed.

    Args:
        start_time (int): Unix seconds.
        project_ids (list[str] | Unset):
        api_key_ids (list[str] | Unset):
        line_items (list[str] | Unset):
        group_by (list[str] | Unset):
        end_time (int | Unset): Exclusive; now by default.
        bucket_width (Literal['1d'] | Unset):  Default: '1d'.
        limit (int | Unset): Buckets of a page.
        page (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | UsagePage
    """

    return sync_detailed(
        client=client,
        start_time=start_time,
        project_ids=project_ids,
        api_key_ids=api_key_ids,
        line_items=line_items,
        group_by=group_by,
        end_time=end_time,
        bucket_width=bucket_width,
        limit=limit,
        page=page,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    start_time: int,
    project_ids: list[str] | Unset = UNSET,
    api_key_ids: list[str] | Unset = UNSET,
    line_items: list[str] | Unset = UNSET,
    group_by: list[str] | Unset = UNSET,
    end_time: int | Unset = UNSET,
    bucket_width: Literal["1d"] | Unset = "1d",
    limit: int | Unset = UNSET,
    page: str | Unset = UNSET,
) -> Response[ErrorAnswer | UsagePage]:
    """Costs

     Usage times the prices of the server's settings, as they are now. Usage that has no price is left
    out;
    if there are no prices at all, the answer is 400 `prices_not_set`. Nothing is billed.

    Args:
        start_time (int): Unix seconds.
        project_ids (list[str] | Unset):
        api_key_ids (list[str] | Unset):
        line_items (list[str] | Unset):
        group_by (list[str] | Unset):
        end_time (int | Unset): Exclusive; now by default.
        bucket_width (Literal['1d'] | Unset):  Default: '1d'.
        limit (int | Unset): Buckets of a page.
        page (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | UsagePage]
    """

    kwargs = _get_kwargs(
        start_time=start_time,
        project_ids=project_ids,
        api_key_ids=api_key_ids,
        line_items=line_items,
        group_by=group_by,
        end_time=end_time,
        bucket_width=bucket_width,
        limit=limit,
        page=page,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    start_time: int,
    project_ids: list[str] | Unset = UNSET,
    api_key_ids: list[str] | Unset = UNSET,
    line_items: list[str] | Unset = UNSET,
    group_by: list[str] | Unset = UNSET,
    end_time: int | Unset = UNSET,
    bucket_width: Literal["1d"] | Unset = "1d",
    limit: int | Unset = UNSET,
    page: str | Unset = UNSET,
) -> ErrorAnswer | UsagePage | None:
    """Costs

     Usage times the prices of the server's settings, as they are now. Usage that has no price is left
    out;
    if there are no prices at all, the answer is 400 `prices_not_set`. Nothing is billed.

    Args:
        start_time (int): Unix seconds.
        project_ids (list[str] | Unset):
        api_key_ids (list[str] | Unset):
        line_items (list[str] | Unset):
        group_by (list[str] | Unset):
        end_time (int | Unset): Exclusive; now by default.
        bucket_width (Literal['1d'] | Unset):  Default: '1d'.
        limit (int | Unset): Buckets of a page.
        page (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | UsagePage
    """

    return (
        await asyncio_detailed(
            client=client,
            start_time=start_time,
            project_ids=project_ids,
            api_key_ids=api_key_ids,
            line_items=line_items,
            group_by=group_by,
            end_time=end_time,
            bucket_width=bucket_width,
            limit=limit,
            page=page,
        )
    ).parsed
