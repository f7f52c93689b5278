"""Where a tuned model comes from: the public object."""

from service.api.schemas.base import Answer, JsonObject


class ModelProvenance(Answer):
    """Everything needed to train the model again. SHA-256 digests are in hexadecimal."""

    base: str
    """Id of the base model."""
    base_sha256: str
    """SHA-256 of the base's weight files."""
    template_sha256: str
    """SHA-256 of the chat template's text."""
    training_sha256: str
    """SHA-256 of the training file."""
    validation_sha256: str | None
    general_sha256: str | None
    """SHA-256 of `training.general_file`. Null if the built-in general set was used."""
    parent: str | None
    """The tuned model or checkpoint that the job started from. Null if it started from the base."""
    parent_sha256: str | None
    """SHA-256 of the parent's manifest."""
    seed: int
    config: JsonObject
    """The resolved configuration: every number that training used."""
    versions: dict[str, str]
    """Versions of Python and of the packages that affect the numbers."""
    code_sha256: str | None
    """SHA-256 of the source files of training. Null for models that were trained before it was recorded."""
    device: str | None
    """`cpu`, or the GPU's name."""
