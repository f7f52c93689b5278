from http import HTTPStatus
from typing import Any

import httpx

from ...client import AuthenticatedClient, Client
from ...models.audit_log_list import AuditLogList
from ...models.audit_logs_list_effective_at import AuditLogsListEffectiveAt
from ...models.error_answer import ErrorAnswer
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    event_types: list[str] | Unset = UNSET,
    project_ids: list[str] | Unset = UNSET,
    actor_ids: list[str] | Unset = UNSET,
    resource_ids: list[str] | Unset = UNSET,
    after: str | Unset = UNSET,
    before: str | Unset = UNSET,
    limit: int | Unset = 20,
    effective_at: AuditLogsListEffectiveAt | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    json_event_types: list[str] | Unset = UNSET
    if not isinstance(event_types, Unset):
        json_event_types = event_types

    params["event_types"] = json_event_types

    json_project_ids: list[str] | Unset = UNSET
    if not isinstance(project_ids, Unset):
        json_project_ids = project_ids

    params["project_ids"] = json_project_ids

    json_actor_ids: list[str] | Unset = UNSET
    if not isinstance(actor_ids, Unset):
        json_actor_ids = actor_ids

    params["actor_ids"] = json_actor_ids

    json_resource_ids: list[str] | Unset = UNSET
    if not isinstance(resource_ids, Unset):
        json_resource_ids = resource_ids

    params["resource_ids"] = json_resource_ids

    params["after"] = after

    params["before"] = before

    params["limit"] = limit

    json_effective_at: dict[str, Any] | Unset = UNSET
    if not isinstance(effective_at, Unset):
        json_effective_at = effective_at.to_dict()
    if not isinstance(json_effective_at, Unset):
        params.update(json_effective_at)

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/organization/audit_logs",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> AuditLogList | ErrorAnswer:
    if response.status_code == 200:
        response_200 = AuditLogList.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[AuditLogList | ErrorAnswer]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    event_types: list[str] | Unset = UNSET,
    project_ids: list[str] | Unset = UNSET,
    actor_ids: list[str] | Unset = UNSET,
    resource_ids: list[str] | Unset = UNSET,
    after: str | Unset = UNSET,
    before: str | Unset = UNSET,
    limit: int | Unset = 20,
    effective_at: AuditLogsListEffectiveAt | Unset = UNSET,
) -> Response[AuditLogList | ErrorAnswer]:
    """List the audit log

     Newest first. Whatever changes the organization is in it: keys, projects, limits, files, jobs,
    models
    and what else has a route that changes it. Completions and other uses of models are not.

    Args:
        event_types (list[str] | Unset):
        project_ids (list[str] | Unset):
        actor_ids (list[str] | Unset):
        resource_ids (list[str] | Unset):
        after (str | Unset):
        before (str | Unset):
        limit (int | Unset):  Default: 20.
        effective_at (AuditLogsListEffectiveAt | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[AuditLogList | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        event_types=event_types,
        project_ids=project_ids,
        actor_ids=actor_ids,
        resource_ids=resource_ids,
        after=after,
        before=before,
        limit=limit,
        effective_at=effective_at,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    event_types: list[str] | Unset = UNSET,
    project_ids: list[str] | Unset = UNSET,
    actor_ids: list[str] | Unset = UNSET,
    resource_ids: list[str] | Unset = UNSET,
    after: str | Unset = UNSET,
    before: str | Unset = UNSET,
    limit: int | Unset = 20,
    effective_at: AuditLogsListEffectiveAt | Unset = UNSET,
) -> AuditLogList | ErrorAnswer | None:
    """List the audit log

     Newest first. Whatever changes the organization is in it: keys, projects, limits, files, jobs,
    models
    and what else has a route that changes it. Completions and other uses of models are not.

    Args:
        event_types (list[str] | Unset):
        project_ids (list[str] | Unset):
        actor_ids (list[str] | Unset):
        resource_ids (list[str] | Unset):
        after (str | Unset):
        before (str | Unset):
        limit (int | Unset):  Default: 20.
        effective_at (AuditLogsListEffectiveAt | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        AuditLogList | ErrorAnswer
    """

    return sync_detailed(
        client=client,
        event_types=event_types,
        project_ids=project_ids,
        actor_ids=actor_ids,
        resource_ids=resource_ids,
        after=after,
        before=before,
        limit=limit,
        effective_at=effective_at,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    event_types: list[str] | Unset = UNSET,
    project_ids: list[str] | Unset = UNSET,
    actor_ids: list[str] | Unset = UNSET,
    resource_ids: list[str] | Unset = UNSET,
    after: str | Unset = UNSET,
    before: str | Unset = UNSET,
    limit: int | Unset = 20,
    effective_at: AuditLogsListEffectiveAt | Unset = UNSET,
) -> Response[AuditLogList | ErrorAnswer]:
    """List the audit log

     Newest first. Whatever changes the organization is in it: keys, projects, limits, files, jobs,
    models
    and what else has a route that changes it. Completions and other uses of models are not.

    Args:
        event_types (list[str] | Unset):
        project_ids (list[str] | Unset):
        actor_ids (list[str] | Unset):
        resource_ids (list[str] | Unset):
        after (str | Unset):
        before (str | Unset):
        limit (int | Unset):  Default: 20.
        effective_at (AuditLogsListEffectiveAt | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[AuditLogList | ErrorAnswer]
    """

    kwargs = _get_kwargs(
        event_types=event_types,
        project_ids=project_ids,
        actor_ids=actor_ids,
        resource_ids=resource_ids,
        after=after,
        before=before,
        limit=limit,
        effective_at=effective_at,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    event_types: list[str] | Unset = UNSET,
    project_ids: list[str] | Unset = UNSET,
    actor_ids: list[str] | Unset = UNSET,
    resource_ids: list[str] | Unset = UNSET,
    after: str | Unset = UNSET,
    before: str | Unset = UNSET,
    limit: int | Unset = 20,
    effective_at: AuditLogsListEffectiveAt | Unset = UNSET,
) -> AuditLogList | ErrorAnswer | None:
    """List the audit log

     Newest first. Whatever changes the organization is in it: keys, projects, limits, files, jobs,
    models
    and what else has a route that changes it. Completions and other uses of models are not.

    Args:
        event_types (list[str] | Unset):
        project_ids (list[str] | Unset):
        actor_ids (list[str] | Unset):
        resource_ids (list[str] | Unset):
        after (str | Unset):
        before (str | Unset):
        limit (int | Unset):  Default: 20.
        effective_at (AuditLogsListEffectiveAt | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        AuditLogList | ErrorAnswer
    """

    return (
        await asyncio_detailed(
            client=client,
            event_types=event_types,
            project_ids=project_ids,
            actor_ids=actor_ids,
            resource_ids=resource_ids,
            after=after,
            before=before,
            limit=limit,
            effective_at=effective_at,
        )
    ).parsed
