"""Models: the public objects."""

from typing import Literal

from service.api.schemas.base import Answer
from service.api.schemas.evaluation import Evaluation
from service.api.schemas.provenance import ModelProvenance


class Differences(Answer):
    """Differences between the log-probabilities of serving and of training on the same tokens, in nats."""

    max_abs: float
    mean_abs: float
    p99_abs: float | None = None
    """99th percentile of the absolute difference."""
    same_top: float | None = None
    """Fraction of positions where both consider the same token most likely."""


class Parity(Differences):
    """How closely serving reproduced the tuned model when it was published."""

    noise: Differences | None = None
    """The same differences for the base alone, which show how much is due to rounding."""
    effect: float | None = None
    """Fraction of the effect of training that the served model shows; 1 means all of it. Null if the effect
    is too small compared with the noise."""


class ModelExtension(Answer):
    """Tunery's additions to OpenAI's model object."""

    base: str
    """Id of the base model, which may be the model itself."""
    architecture: Literal["decoder", "encoder"] | None
    """A decoder generates text; an encoder classifies texts or words. Null if the base is no longer in the
    catalogue."""
    context_length: int | None
    """Maximum tokens of prompt and answer combined. Null if the base is no longer in the catalogue."""
    full_context_length: int | None = None
    """What `context_length` would be if the GPUs that serve the model had enough memory. Null if they do."""
    job_id: str | None
    """The job that created the model. Null for a base model, an imported model, and a model shared by another
    project."""
    import_id: str | None = None
    """The import that created the model. Null unless this project imported it."""
    evaluation: Evaluation | None
    """Null for a base model, an imported one and a checkpoint."""
    parity: Parity | None
    """Null for a base model, an imported one, a checkpoint, and a model published without the gate."""
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
