"""Published tuned models, and what a model's name stands for."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from cluster.contracts.bases import TrainingType
from cluster.contracts.generation import AdapterRef
from service.db.tenancy import Tenant


@dataclass(frozen=True, slots=True)
class TunedModel:
    id: str
    """The public name, `ft:…`."""
    tenant: Tenant
    job_id: str
    base: str
    """Alias of the base."""
    type: TrainingType
    manifest_key: str
    manifest_sha256: str
    parity: dict[str, float] | None
    """max_abs and mean_abs: log-probability differences between serving and training at publish."""
    created_at: int


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """What serving needs of a tuned name."""

    name: str
    base: str
    """Alias of the base."""
    adapter: AdapterRef
    job_id: str
    created_at: int


class Models:
    """The tuned models of one tenant. Bases are the catalogue's, not the database's."""

    def __init__(self, session: Session, tenant: Tenant) -> None:
        self._session = session
        self._tenant = tenant

    def list(self) -> Sequence[TunedModel]:
        """Newest first."""
        raise NotImplementedError

    def get(self, id: str) -> TunedModel:
        """Raises NotFound (`model_not_found`)."""
        raise NotImplementedError

    def resolve(self, name: str) -> ResolvedModel:
        """Of a tuned model or one of its checkpoints (`…:ckpt-step-N`). Raises NotFound (`model_not_found`)."""
        raise NotImplementedError

    def delete(self, id: str) -> None:
        """A tombstone: the model and its checkpoints are absent from now on. Raises NotFound."""
        raise NotImplementedError
