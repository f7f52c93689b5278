"""`/v1/organization/usage/…`: what all projects of the organization have used, in buckets of time."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from cluster.contracts.errors import InvalidRequest
from service.api.http.auth import OrganizationAdmin
from service.api.http.lists import query_list
from service.api.organization_usage import BucketWidth, UsageQuery, usage_query
from service.api.schemas.base import Absent, Flag, OrDefault, WholeNumber
from service.api.schemas.organization_usage import (
    ClassificationsUsage,
    CompletionsUsage,
    EmbeddingsUsage,
    FineTuningUsage,
    UsagePage,
)
from service.api.state import AppState, UsesAppState
from service.db.usage.organization_usage import Group, OrganizationUsage, TrainingUsage
from service.db.usage.usage import MINUTE, Operation, UsageCounts

router = APIRouter(prefix="/organization/usage", tags=["Usage"])

_ONE_VALUE = ("user_id", "batch", "service_tier", "api_source")
"""OpenAI's groupings of completions that have only one value here."""

_Seconds = Annotated[int, Query(description="Unix seconds."), WholeNumber]
_Names = Annotated[list[str], Query(default_factory=list, max_length=100)]


def _query(
    request: Request,
    start_time: _Seconds,
    project_ids: _Names,
    api_key_ids: _Names,
    models: _Names,
    group_by: Annotated[list[str], Query(default_factory=list, max_length=100)],
    end_time: Annotated[
        int | Absent, Query(description="Unix seconds, exclusive. By default, the current time."), WholeNumber
    ] = None,
    bucket_width: Annotated[BucketWidth, OrDefault] = "1d",
    limit: Annotated[
        int | Absent, Query(description="Maximum number of buckets per page."), WholeNumber
    ] = None,
    page: Annotated[str | Absent, OrDefault] = None,
) -> UsageQuery:
    """OpenAI's parameters of all usage routes. Buckets begin at whole minutes, hours and days (UTC)."""
    is_of_completions = request.url.path.endswith("/completions")
    return usage_query(
        start_time=start_time,
        end_time=end_time,
        bucket_width=bucket_width,
        limit=limit,
        page=page,
        group_by=query_list(request, "group_by"),
        also_groups=_ONE_VALUE if is_of_completions else ("user_id",),
        project_ids=query_list(request, "project_ids"),
        api_key_ids=query_list(request, "api_key_ids"),
        models=query_list(request, "models"),
    )


_Wanted = Annotated[UsageQuery, Depends(_query)]


@router.get(
    "/completions", operation_id="usage_completions", summary="Usage of completions and chat completions"
)
def completions(
    request: Request,
    caller: OrganizationAdmin,
    state: UsesAppState,
    wanted: _Wanted,
    batch: Annotated[bool | Absent, Flag] = None,
) -> UsagePage:
    """Includes requests that were interrupted, with the tokens generated until then. Usage appears a few
    seconds after a request has ended. A `bucket_width` of `1m` reaches back as far as per-minute usage is
    kept, by default 31 days."""
    is_by_batch = "batch" in query_list(request, "group_by")

    def result(used: UsageCounts, group: dict[str, Any]) -> CompletionsUsage:
        return CompletionsUsage(
            **group,
            input_tokens=used.prompt_tokens,
            output_tokens=used.completion_tokens,
            num_model_requests=used.requests,
            batch=False if is_by_batch else None,
        )

    # Nothing runs in batches in Tunery.
    found = {} if batch else _of_models("completions", caller.tenant.organization_id, state, wanted)
    return wanted.page(found, result)


@router.get("/embeddings", operation_id="usage_embeddings", summary="Usage of embeddings")
def embeddings(caller: OrganizationAdmin, state: UsesAppState, wanted: _Wanted) -> UsagePage:
    def result(used: UsageCounts, group: dict[str, Any]) -> EmbeddingsUsage:
        return EmbeddingsUsage(**group, input_tokens=used.prompt_tokens, num_model_requests=used.requests)

    return wanted.page(_of_models("embeddings", caller.tenant.organization_id, state, wanted), result)


@router.get("/classifications", operation_id="usage_classifications", summary="Usage of classifications")
def classifications(caller: OrganizationAdmin, state: UsesAppState, wanted: _Wanted) -> UsagePage:
    """A Tunery extension, in the same format as the other usage routes."""

    def result(used: UsageCounts, group: dict[str, Any]) -> ClassificationsUsage:
        return ClassificationsUsage(
            **group, input_tokens=used.prompt_tokens, num_model_requests=used.requests
        )

    return wanted.page(_of_models("classifications", caller.tenant.organization_id, state, wanted), result)


@router.get("/fine_tuning", operation_id="usage_fine_tuning", summary="Usage of fine-tuning")
def fine_tuning(caller: OrganizationAdmin, state: UsesAppState, wanted: _Wanted) -> UsagePage:
    """Jobs, trained tokens and device time, by base model. A Tunery extension, in the same format as the
    other usage routes."""

    def result(used: TrainingUsage, group: dict[str, Any]) -> FineTuningUsage:
        return FineTuningUsage(
            **group,
            num_jobs=used.jobs,
            trained_tokens=used.trained_tokens,
            device_seconds=round(used.device_seconds, 3),
        )

    with state.database.read() as session:
        found = OrganizationUsage(session, caller.tenant.organization_id).of_training(wanted.filter)
    return wanted.page(found, result)


def _of_models(
    operation: Operation, organization_id: str, state: AppState, wanted: UsageQuery
) -> dict[int, dict[Group, UsageCounts]]:
    oldest = time.time() - state.settings.usage_minutes_seconds
    if wanted.filter.width == MINUTE and wanted.filter.end < oldest:
        raise InvalidRequest(
            f"Usage is kept by the minute for {state.settings.usage_minutes_seconds / 86_400:g} days only. "
            "Ask for a bucket_width of 1h or 1d.",
            param="bucket_width",
        )
    with state.database.read() as session:
        return OrganizationUsage(session, organization_id).of_models(operation, wanted.filter)
