"""Turns the `model` of a request into a reference to weights."""

from cluster.contracts.errors import NotFound
from cluster.contracts.generation import ModelRef
from service.api.state import AppState
from service.db.models.models import TunedModel, TunedModels
from service.db.organization.api_keys import Principal


async def resolve_model(state: AppState, caller: Principal, name: str) -> tuple[str, ModelRef]:
    """Resolves the name of a base, tuned model or checkpoint, or an alias of one. Returns the model's own
    name, which the answer names too, and its weights. A request that begins after an alias was moved gets the
    new model.

    Raises NotFound (`model_not_found`): names that do not exist and names of other tenants get the same
    answer. Raises PermissionDenied (`not_permitted`) for a base that the caller's project may not use."""
    tenant = caller.tenant

    def read() -> str | TunedModel:
        with state.database.read() as session:
            return TunedModels(session, tenant).named(name, state.catalogue)

    if name in state.catalogue:
        return _base(state, caller, name)
    found: str | TunedModel = await state.shared_reads.get(("model", tenant, name), read)
    if isinstance(found, str):
        return _base(state, caller, found)
    if found.base not in state.catalogue:
        raise NotFound(
            f"The model '{name}' was tuned from '{found.base}', which is no longer in the catalogue.",
            code="model_not_found",
            param="model",
        )
    return found.name, ModelRef(base=state.catalogue[found.base], adapter=found.adapter)


def _base(state: AppState, caller: Principal, alias: str) -> tuple[str, ModelRef]:
    caller.rights.check_model(alias)
    return alias, ModelRef(base=state.catalogue[alias])
