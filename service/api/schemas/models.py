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
    """99 of 100 tokens differ by no more."""
    same_top: float | None = None
    """The share of places where both find the same token most likely."""


class Parity(Differences):
    """How closely serving reproduced the tuned model when it was published."""

    noise: Differences | None = None
    """The same for the base alone, which shows how much is due to rounding."""
    effect: float | None = None
    """Share of training's effect that the served model shows: 1 is all of it. Null if the effect is too small
    compared with the noise."""


class ModelExtension(Answer):
    """Tunery's additions to OpenAI's model object."""

    base: str
    """Id of the base model, which may be the model itself."""
    architecture: Literal["decoder", "encoder"] | None
    """A decoder generates text; an encoder classifies texts or words. Null if the base is no longer in the
    catalogue."""
    context_length: int | None
    """Tokens of prompt and answer together. Null if the base is no longer in the catalogue."""
    full_context_length: int | None = None
    """What `context_length` would be if the GPUs that serve the model had memory for it. Null if they
    have."""
    job_id: str | None
    """The job that created it. Null for a base model, an imported model, and one that another project
    shares."""
    import_id: str | None = None
    """The import that created it. Null unless this project imported the model."""
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
