"""How the service, training and serving name tuned weights."""

from cluster.contracts.bases import WeightsForm
from cluster.contracts.frozen import FrozenModel


class WeightsRef(FrozenModel):
    """Tuned weights in storage. The digest is their identity; the key says where their manifest is."""

    digest: str
    """SHA-256 of the manifest's bytes."""
    manifest_key: str
    form: WeightsForm = "lora"
