"""`GET /v1/organization/usage/…` and `/v1/organization/costs`: the responses."""

from typing import Annotated, Literal

from pydantic import Field

from service.api.schemas.base import Answer


class UsageResult(Answer):
    """Usage with what it was grouped by; the rest is null."""

    project_id: str | None = None
    user_id: str | None = None
    """Always null: keys belong to projects, not to users."""
    api_key_id: str | None = None
    model: str | None = None


class CompletionsUsage(UsageResult):
    object: Literal["organization.usage.completions.result"] = "organization.usage.completions.result"
    input_tokens: int
    output_tokens: int
    num_model_requests: int
    batch: bool | None = None
    service_tier: str | None = None


class EmbeddingsUsage(UsageResult):
    object: Literal["organization.usage.embeddings.result"] = "organization.usage.embeddings.result"
    input_tokens: int
    num_model_requests: int


class ClassificationsUsage(UsageResult):
    object: Literal["organization.usage.classifications.result"] = "organization.usage.classifications.result"
    input_tokens: int
    num_model_requests: int


class FineTuningUsage(UsageResult):
    object: Literal["organization.usage.fine_tuning.result"] = "organization.usage.fine_tuning.result"
    num_jobs: int
    """Jobs that ended in this period."""
    trained_tokens: int
    """Tokens trained by the jobs that ended in this period."""
    device_seconds: float
    """Duration of attempts in this period, multiplied by their training processes."""


class CostAmount(Answer):
    value: float
    currency: str
    """Currency in lowercase, such as `usd`."""


class CostsResult(Answer):
    object: Literal["organization.costs.result"] = "organization.costs.result"
    amount: CostAmount
    line_item: str | None = None
    """The line item, such as `tunery-tiny-1, input_tokens`, if the costs are grouped by it."""
    quantity: float | None = None
    """Quantity of the line item."""
    quantity_unit: Literal["tokens", "duration_hours"] | None = None
    project_id: str | None = None
    user_id: str | None = None
    """Always null: keys belong to projects, not to users."""
    api_key_id: str | None = None


class UsageBucket(Answer):
    object: Literal["bucket"] = "bucket"
    start_time: int
    end_time: int
    results: list[
        Annotated[
            CompletionsUsage | EmbeddingsUsage | ClassificationsUsage | FineTuningUsage | CostsResult,
            Field(discriminator="object"),
        ]
    ]
    """Usage in this bucket; empty if there is none."""


class UsagePage(Answer):
    object: Literal["page"] = "page"
    data: list[UsageBucket]
    """Buckets, oldest first, without gaps."""
    has_more: bool
    next_page: str | None
    """Value of `page` for the next page."""
