"""Importing an adapter that was trained elsewhere: what the service asks the cluster, and the answer."""

from pydantic import Field

from cluster.contracts.bases import BaseSpec
from cluster.contracts.data_report import StoredFile
from cluster.contracts.frozen import FrozenModel
from cluster.contracts.hyperparameters import TrainingOptions
from cluster.contracts.weights import WeightsRef

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
"""The files of an adapter folder that the PEFT library reads."""


class ImportRequest(FrozenModel):
    import_id: str
    base: BaseSpec
    config: StoredFile
    weights: StoredFile


class ImportedAdapter(FrozenModel):
    """An adapter in storage that fits its base, in Tunery's own words."""

    weights: WeightsRef
    training: TrainingOptions
    """The options that a job needs to continue the adapter."""
    rows: list[list[int]] = Field(min_length=1)
    """Token ids that any model of the base can read, with which serving tries the adapter."""
