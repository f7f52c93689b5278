"""Integrations of a fine-tuning job: what a request asks for, and what became of it."""

from typing import Annotated, Literal

from pydantic import Field

from cluster.contracts.integrations import (
    IntegrationType,
    MlflowOptions,
    TrackioOptions,
    WandbOptions,
)
from service.api.schemas.base import Answer, Body


class WandbIntegrationBody(Body):
    """Shows the job's metrics in Weights & Biases while it runs."""

    type: Literal["wandb"]
    wandb: WandbOptions


class MlflowIntegrationBody(Body):
    """Shows the job's metrics in MLflow while it runs."""

    type: Literal["mlflow"]
    mlflow: MlflowOptions


class TrackioIntegrationBody(Body):
    """Shows the job's metrics in trackio while it runs."""

    type: Literal["trackio"]
    trackio: TrackioOptions


class TensorboardIntegrationBody(Body):
    """Writes the job's metrics as a file for TensorBoard when its model is published."""

    type: Literal["tensorboard"]


IntegrationBody = Annotated[
    MlflowIntegrationBody | TrackioIntegrationBody | TensorboardIntegrationBody, Field(discriminator="type")
]


class WandbRunOptions(Answer):
    project: str
    name: str | None
    entity: str | None
    tags: list[str] | None


class WandbIntegration(Answer):
    type: Literal["wandb"] = "wandb"
    wandb: WandbRunOptions


class JobIntegration(Answer):
    type: IntegrationType
    url: str | None
    """Page of the run in the tracker, once it has begun."""
    problem: str | None
    """Why the tracker receives no more data. The job continues without it."""
    file: str | None
    """Id of the file with the events of a `tensorboard` integration, once the job has succeeded."""
