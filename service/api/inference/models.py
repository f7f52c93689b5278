"""Turns the `model` of a request into a reference to weights."""

from cluster.contracts.errors import NotFound
from cluster.contracts.generation import ModelRef
from service.api.state import AppState
from service.db.models import TunedModel, TunedModels
from service.db.tenancy import Tenant


async def resolve_model(state: AppState, tenant: Tenant, name: str) -> ModelRef:
    """Resolves a base model's alias, or the name of a tuned model or checkpoint.

    Raises NotFound (`model_not_found`): names that do not exist and names of other tenants get the same
    answer."""

    def read() -> TunedModel:
        with state.database.read() as session:
            return TunedModels(session, tenant).resolve(name)

    if name in state.catalogue:
        return ModelRef(base=state.catalogue[name])
    found: TunedModel = await state.shared_reads.get(("model", tenant, name), read)
    if found.base not in state.catalogue:
        raise NotFound(
            f"The model '{name}' was tuned from '{found.base}', which is no longer in the catalogue.",
            code="model_not_found",
            param="model",
        )
    return ModelRef(base=state.catalogue[found.base], adapter=found.adapter)
