"""Models: the public objects."""

from typing import Literal

from service.api.schemas.base import Answer
from service.api.schemas.evaluation import Evaluation


class Parity(Answer):
    """Differences between log-probabilities in serving and in training when the model was published, in
    nats."""

    max_abs: float
    mean_abs: float


class ModelExtension(Answer):
    """What Tunery tells of a tuned model beyond OpenAI's object."""

    base: str
    """Id of the base model."""
    job_id: str
    """The job that made it."""
    evaluation: Evaluation | None
    """Null for a checkpoint."""
    parity: Parity | None
    """Null for a checkpoint."""


class ModelObject(Answer):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    tunery: ModelExtension | None
    """Null for a base model."""


class ModelList(Answer):
    object: Literal["list"] = "list"
    data: list[ModelObject]
