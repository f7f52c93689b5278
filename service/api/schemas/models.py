"""Models: the public objects."""

from typing import Literal

from service.api.schemas.base import Answer


class ModelObject(Answer):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelList(Answer):
    object: Literal["list"] = "list"
    data: list[ModelObject]
