"""Permissions to use a checkpoint: the public objects."""

from typing import Annotated, Literal

from pydantic import Field

from service.api.schemas.base import Answer, Body, Identified, ItemList


class CheckpointPermissionsBody(Body):
    project_ids: Annotated[list[str], Field(min_length=1, max_length=100)]
    """Projects of the organization that may use the model or checkpoint."""


class CheckpointPermission(Identified):
    object: Literal["checkpoint.permission"] = "checkpoint.permission"
    project_id: str
    created_at: int


class CheckpointPermissionList(ItemList[CheckpointPermission]):
    pass


class DeletedCheckpointPermission(Answer):
    id: str
    object: Literal["checkpoint.permission"] = "checkpoint.permission"
    deleted: Literal[True] = True
