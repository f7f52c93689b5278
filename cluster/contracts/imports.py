"""Importing an adapter that was trained elsewhere: what the service asks the cluster, and the answer."""

from collections.abc import Mapping

from pydantic import Field

from cluster.contracts.bases import BaseSpec
from cluster.contracts.data_report import StoredFile
from cluster.contracts.errors import InvalidRequest
from cluster.contracts.frozen import FrozenModel
from cluster.contracts.hyperparameters import TrainingOptions
from cluster.contracts.weights import WeightsRef

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
"""The files of an adapter folder that the PEFT library reads."""

MAX_BYTES: Mapping[str, int] = {CONFIG_FILE: 2**20, WEIGHTS_FILE: 2 * 2**30}
"""The sizes that are read, by the file's name; that of the weights is a setting's default. An adapter of
rank 64 for all layers of a model with 70 billion parameters, in half precision, has 1.7 GB."""


def check_size(name: str, size: int, max_weights_bytes: int) -> None:
    """Raises InvalidRequest (`invalid_adapter`) if a file of an adapter has more bytes than are read."""
    limit = max_weights_bytes if name == WEIGHTS_FILE else MAX_BYTES[name]
    if size > limit:
        raise InvalidRequest(
            f"{name} has {size} bytes; at most {limit} are read.",
            code="invalid_adapter",
            param="files",
        )


class ImportRequest(FrozenModel):
    import_id: str
    base: BaseSpec
    config: StoredFile
    weights: StoredFile
    max_weights_bytes: int = MAX_BYTES[WEIGHTS_FILE]
    encryption_key: str | None = None
    """The project's key, with which storage encrypts what is written for it. None: it has none."""


class ImportedAdapter(FrozenModel):
    """An adapter in storage that fits its base, in Tunery's own words."""

    weights: WeightsRef
    training: TrainingOptions
    """The options that a job needs to continue the adapter."""
    rows: list[list[int]] = Field(min_length=1)
    """Token ids that any model of the base can read, with which serving tries the adapter."""
