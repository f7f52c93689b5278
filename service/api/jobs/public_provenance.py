"""The provenance of a job or model as the API shows it."""

from cluster.contracts.provenance import Provenance
from service.api.schemas.provenance import ModelProvenance


def public_provenance(found: Provenance | None, parent: str | None) -> ModelProvenance | None:
    """`parent` is the name of the tuned model that the job started from."""
    if found is None:
        return None
    environment = found.environment
    return ModelProvenance(
        **found.model_dump(exclude={"config", "environment"}),
        parent=parent,
        seed=found.config.seed,
        config=found.config.model_dump(mode="json"),
        versions={} if environment is None else environment.versions,
        code_sha256=environment and environment.code_sha256,
        device=environment and environment.device,
    )
