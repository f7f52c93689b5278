"""Limits of organizations, projects and API keys."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from cluster.contracts.jobs import Priority
from service.api.schemas.base import Answer, Body, Unsupported
from service.db.limits.names import UNLIMITED

Limit = TypeAliasType("Limit", Annotated[int, Field(ge=0, le=UNLIMITED)])
"""9007199254740991 means no limit."""


class ProjectRateLimit(Answer):
    """Limits on a project's requests to one base model and the models tuned from it."""

    id: str
    object: Literal["project.rate_limit"] = "project.rate_limit"
    model: str
    """The base model."""
    max_requests_per_1_minute: Limit
    max_tokens_per_1_minute: Limit
    """Tokens of prompts and answers combined."""


class ProjectRateLimitList(Answer):
    object: Literal["list"] = "list"
    data: list[ProjectRateLimit]
    first_id: str | None
    last_id: str | None
    has_more: bool


class UpdateRateLimitBody(Body):
    """Limits that are left out stay unchanged."""

    max_requests_per_1_minute: Limit | None = None
    max_tokens_per_1_minute: Limit | None = None
    max_requests_per_1_day: Unsupported = None
    max_images_per_1_minute: Unsupported = None
    max_audio_megabytes_per_1_minute: Unsupported = None
    batch_1_day_max_input_tokens: Unsupported = None


class UpdateKeyLimitsBody(Body):
    """Limits that are left out stay unchanged."""

    max_requests_per_1_minute: Limit | None = None
    """Requests per minute: for a project, to each base model that has no limit of its own; for a key, to all
    models together."""
    max_tokens_per_1_minute: Limit | None = None
    max_concurrent_jobs: Limit | None = None
    """Maximum number of fine-tuning jobs in progress at once. Paused jobs do not count."""
    max_jobs_per_1_day: Limit | None = None
    """Maximum number of fine-tuning jobs created within 24 hours."""
    max_device_hours_per_1_month: Limit | None = None
    """Hours of training in a calendar month (UTC), multiplied by the number of training processes."""


class UpdateProjectLimitsBody(UpdateKeyLimitsBody):
    max_stored_bytes: Limit | None = None
    """Total size of all files, in bytes."""
    max_priority: Priority | None = None
    """Maximum priority of fine-tuning jobs; `normal` by default."""
    device_share: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """The project's share of the devices, relative to the shares of other projects with queued jobs. A
    project with 2 gets twice as much as a project with 1, the default."""
    soft_max_devices: Limit | None = None
    """Maximum number of devices that training may hold at once while other projects are waiting."""
    max_devices: Limit | None = None
    """Maximum number of devices that training may hold at once, even if no other project is waiting."""


class UpdateOrganizationLimitsBody(Body):
    """Limits that are left out stay unchanged."""

    max_projects: Limit | None = None
    """Maximum number of projects that are not archived. Each has its own share of the devices."""
    max_concurrent_jobs: Limit | None = None
    """Maximum number of fine-tuning jobs of all its projects in progress at once. Paused jobs do not
    count."""
    max_jobs_per_1_day: Limit | None = None
    """Maximum number of fine-tuning jobs created within 24 hours."""
    max_device_hours_per_1_month: Limit | None = None
    """Hours of training in a calendar month (UTC), multiplied by the number of training processes."""
    max_stored_bytes: Limit | None = None
    """Maximum total size of the files and exports of all its projects, in bytes."""


class UsedByKey(Answer):
    """How much of the limits on jobs has been used."""

    concurrent_jobs: int
    jobs_in_1_day: int
    device_hours_in_1_month: float


class UsedByProject(UsedByKey):
    stored_bytes: int


class KeyLimits(Answer):
    object: Literal["project.api_key.limits"] = "project.api_key.limits"
    id: str
    """Id of the key."""
    max_requests_per_1_minute: Limit
    max_tokens_per_1_minute: Limit
    max_concurrent_jobs: Limit
    max_jobs_per_1_day: Limit
    max_device_hours_per_1_month: Limit
    used: UsedByKey


class ProjectLimits(Answer):
    object: Literal["project.limits"] = "project.limits"
    id: str
    """Id of the project."""
    max_requests_per_1_minute: Limit
    max_tokens_per_1_minute: Limit
    max_concurrent_jobs: Limit
    max_jobs_per_1_day: Limit
    max_device_hours_per_1_month: Limit
    max_stored_bytes: Limit
    max_priority: Priority
    device_share: int
    soft_max_devices: Limit
    max_devices: Limit
    used: UsedByProject


class UsedByOrganization(UsedByProject):
    projects: int


class OrganizationLimits(Answer):
    object: Literal["organization.limits"] = "organization.limits"
    id: str
    """Id of the organization."""
    max_projects: Limit
    max_concurrent_jobs: Limit
    max_jobs_per_1_day: Limit
    max_device_hours_per_1_month: Limit
    max_stored_bytes: Limit
    used: UsedByOrganization
