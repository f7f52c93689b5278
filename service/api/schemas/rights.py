"""What a project may use."""

from typing import Annotated, Literal

from pydantic import Field

from cluster.contracts.bases import TrainingType
from cluster.contracts.hyperparameters import Method
from cluster.contracts.jobs import Priority
from service.api.schemas.base import Answer, Body

Aliases = Annotated[list[Annotated[str, Field(max_length=255)]], Field(max_length=1000)]


class ProjectRightsBody(Body):
    """Fields that are left out stay unchanged."""

    models: Aliases | None = None
    """Base models that the project may train, query, and import adapters for."""
    methods: Annotated[list[Method], Field(fail_fast=True)] | None = None
    training_types: Annotated[list[TrainingType], Field(fail_fast=True)] | None = None


class ProjectRights(Answer):
    """Rights of the key. Null allows everything, including what is added to the catalogue later."""

    object: Literal["project.rights"] = "project.rights"
    id: str
    """Id of the project."""
    models: list[str] | None
    methods: list[Method] | None
    training_types: list[TrainingType] | None


class OwnRights(Answer):
    """Rights of the key. Null allows everything, including what is added to the catalogue later."""

    object: Literal["rights"] = "rights"
    project_id: str
    """Id of the project in which the key acts."""
    organization_id: str
    """Id of the project's organization."""
    is_admin_key: bool
    """Whether the key may act in any project of the organization, and manage it."""
    is_operators_key: bool
    """Whether the key may also manage the installation."""
    models: list[str] | None
    """Base models."""
    methods: list[Method] | None
    training_types: list[TrainingType] | None
    priorities: list[Priority]
    """Priorities that fine-tuning jobs may have, lowest first."""
