"""How the service, training and serving name tuned weights."""

from pydantic import BaseModel, ConfigDict

from cluster.contracts.bases import WeightsForm


class WeightsRef(BaseModel):
    """Tuned weights in storage. The digest is their identity; the key says where their manifest is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    """SHA-256 of the manifest's bytes."""
    manifest_key: str
    form: WeightsForm = "lora"
