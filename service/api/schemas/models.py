"""Models: the public objects."""

from typing import Literal

from service.api.schemas.base import Answer
from service.api.schemas.evaluation import Evaluation
from service.api.schemas.provenance import ModelProvenance


class Parity(Answer):
    """Differences between the log-probabilities of serving and training when the model was published, in
    nats."""

    max_abs: float
    mean_abs: float


class ModelExtension(Answer):
    """Tunery's additions to OpenAI's model object."""

    base: str
    """Id of the base model, which may be the model itself."""
    job_id: str | None
    """The job that created it. Null for a base model, an imported model, and one that another project
    shares."""
    import_id: str | None = None
    """The import that created it. Null unless this project imported the model."""
    evaluation: Evaluation | None
    """Null for a base model, an imported one and a checkpoint."""
    parity: Parity | None
    """Null for a base model, an imported one and a checkpoint."""
    unavailable: str | None
    """Why the model cannot be used now. Null if it can."""
    provenance: ModelProvenance | None = None
    """Null for a base model."""
    alias_of: str | None = None
    """The model that this alias names. Null for a model's own name."""


class ModelObject(Answer):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    tunery: ModelExtension


class ModelList(Answer):
    object: Literal["list"] = "list"
    data: list[ModelObject]
