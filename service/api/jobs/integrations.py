"""The integrations of a job: which ones a request may ask for, and how they are shown."""

from collections.abc import Iterator
from typing import Any

from cluster.contracts.errors import InvalidRequest
from service.api.schemas.integrations import (
    IntegrationBody,
    JobIntegration,
    WandbIntegration,
    WandbIntegrationBody,
    WandbRunOptions,
)
from service.api.schemas.jobs import CreateJobBody
from service.db.jobs.jobs import Job
from service.settings import Settings


def requested_integrations(body: CreateJobBody, settings: Settings) -> list[dict[str, Any]] | None:
    """Returns integrations in the format of a job's row. Raises InvalidRequest if one is not enabled, is
    requested twice, or names an entity that is not the operator's."""
    seen: set[str] = set()
    found = []
    for param, each in _named(body):
        if each.type not in settings.integrations:
            raise InvalidRequest(
                f"The integration '{each.type}' is not enabled on this server. Its operator lists the "
                "integrations that jobs may ask for in TUNERY_INTEGRATIONS.",
                code="unsupported_integration",
                param=f"{param}.type",
            )
        if each.type in seen:
            raise InvalidRequest(
                f"The integration '{each.type}' is there twice; a job has at most one of a type.", param=param
            )
        if isinstance(each, WandbIntegrationBody):
            _check_entity(each.wandb.entity, settings.wandb_entity, param)
        seen.add(each.type)
        found.append(each.model_dump(mode="json"))
    return found or None


def public_integrations(job: Job) -> list[WandbIntegration]:
    """Only OpenAI's integrations, in its format."""
    found = [each["wandb"] for each in job.integrations or [] if each["type"] == "wandb"]
    return [WandbIntegration(wandb=WandbRunOptions(**options)) for options in found]


def integration_results(job: Job) -> list[JobIntegration]:
    return [
        JobIntegration(
            type=type,
            url=(result := job.integration_results.get(type, {})).get("url"),
            problem=result.get("problem"),
            file=result.get("file"),
        )
        for type in (each["type"] for each in job.integrations or [])
    ]


def _named(body: CreateJobBody) -> Iterator[tuple[str, WandbIntegrationBody | IntegrationBody]]:
    for index, each in enumerate(body.integrations or []):
        yield f"integrations[{index}]", each
    for index, own in enumerate((body.tunery and body.tunery.integrations) or []):
        yield f"tunery.integrations[{index}]", own


def _check_entity(entity: str | None, allowed: str | None, param: str) -> None:
    if allowed is not None and entity not in (None, allowed):
        raise InvalidRequest(
            f"This server writes to the entity '{allowed}' of Weights & Biases only.",
            param=f"{param}.wandb.entity",
        )
