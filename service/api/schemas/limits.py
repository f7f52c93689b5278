"""Limits of projects and API keys."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from service.api.schemas.base import Answer, Body, Unsupported
from service.db.limits.names import UNLIMITED

Limit = TypeAliasType("Limit", Annotated[int, Field(ge=0, le=UNLIMITED)])
"""9007199254740991 means no limit."""


class ProjectRateLimit(Answer):
    """What a project may send to one base model and to the models tuned from it."""

    id: str
    object: Literal["project.rate_limit"] = "project.rate_limit"
    model: str
    """The base model."""
    max_requests_per_1_minute: Limit
    max_tokens_per_1_minute: Limit
    """Prompts and answers together."""


class ProjectRateLimitList(Answer):
    object: Literal["list"] = "list"
    data: list[ProjectRateLimit]
    first_id: str | None
    last_id: str | None
    has_more: bool


class UpdateRateLimitBody(Body):
    """Limits that are left out stay as they are."""

    max_requests_per_1_minute: Limit | None = None
    max_tokens_per_1_minute: Limit | None = None
    max_requests_per_1_day: Unsupported = None
    max_images_per_1_minute: Unsupported = None
    max_audio_megabytes_per_1_minute: Unsupported = None
    batch_1_day_max_input_tokens: Unsupported = None


class UpdateKeyLimitsBody(Body):
    """Limits that are left out stay as they are."""

    max_requests_per_1_minute: Limit | None = None
    """For a project, of each base model that has no limit of its own; for a key, of all models together."""
    max_tokens_per_1_minute: Limit | None = None
    max_concurrent_jobs: Limit | None = None
    """Fine-tuning jobs that may be under way at once. Paused ones do not count."""
    max_jobs_per_1_day: Limit | None = None
    """Fine-tuning jobs that may be created within 24 hours."""
    max_device_hours_per_1_month: Limit | None = None
    """Hours of training in a calendar month (UTC), times the training processes."""


class UpdateProjectLimitsBody(UpdateKeyLimitsBody):
    max_stored_bytes: Limit | None = None
    """Bytes of all files together."""


class UsedByKey(Answer):
    """What has been used of the limits on jobs."""

    concurrent_jobs: int
    jobs_in_1_day: int
    device_hours_in_1_month: float


class UsedByProject(UsedByKey):
    stored_bytes: int


class KeyLimits(Answer):
    object: Literal["project.api_key.limits"] = "project.api_key.limits"
    id: str
    """The key's."""
    max_requests_per_1_minute: Limit
    max_tokens_per_1_minute: Limit
    max_concurrent_jobs: Limit
    max_jobs_per_1_day: Limit
    max_device_hours_per_1_month: Limit
    used: UsedByKey


class ProjectLimits(Answer):
    object: Literal["project.limits"] = "project.limits"
    id: str
    """The project's."""
    max_requests_per_1_minute: Limit
    max_tokens_per_1_minute: Limit
    max_concurrent_jobs: Limit
    max_jobs_per_1_day: Limit
    max_device_hours_per_1_month: Limit
    max_stored_bytes: Limit
    used: UsedByProject
