"""Finds the tuned model that a path names and whose weights its owner may download."""

from collections.abc import Container

from sqlalchemy.orm import Session

from cluster.contracts.errors import PermissionDenied
from service.db.models.models import TunedModel, TunedModels
from service.db.tenancy import Tenant


def resolve_tuned(session: Session, tenant: Tenant, name: str, catalogue: Container[str]) -> TunedModel:
    """Finds a tuned model or a checkpoint by its name or an alias. Raises NotFound, and PermissionDenied for
    a base model."""
    found = TunedModels(session, tenant).named(name, catalogue)
    if isinstance(found, TunedModel):
        return found
    raise PermissionDenied(
        f"'{found}' is a base model. Its weights are its publisher's; only tuned models can be downloaded.",
        param="model",
    )
