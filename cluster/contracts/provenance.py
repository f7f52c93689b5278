"""Where a tuned model comes from: everything that is needed to train it again."""

from cluster.contracts.frozen import FrozenModel
from cluster.contracts.hyperparameters import TrainingConfig


class Environment(FrozenModel):
    """The software and the device of an attempt."""

    versions: dict[str, str]
    """Python's version, and those of the packages that affect the numbers."""
    code_sha256: str
    """Over the names and contents of the source files of training."""
    device: str
    """`cpu`, or the GPU's name."""


class Provenance(FrozenModel):
    base: str
    """Alias of the base."""
    base_sha256: str
    """SHA-256 of the base's weight files."""
    template_sha256: str
    """SHA-256 of the chat template's text."""
    training_sha256: str
    validation_sha256: str | None
    general_sha256: str | None
    """SHA-256 of the files' bytes. The last one is None if the packaged general set was used."""
    parent_sha256: str | None
    """SHA-256 of the manifest of the tuned weights that the job started from. None if it started from the
    base."""
    config: TrainingConfig
    """The resolved configuration, with the seed."""
    environment: Environment | None
    """None for models that were trained before it was recorded."""
