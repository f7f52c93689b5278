"""`/v1/models`: the catalogue's base models and the tenant's tuned models. Never calls the engines."""

from fastapi import APIRouter

from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import InvalidRequest, PermissionDenied
from service.api.http.auth import ModelReader, Writer
from service.api.jobs.public_evaluation import public_evaluation
from service.api.jobs.public_provenance import public_provenance
from service.api.schemas.base import Deleted
from service.api.schemas.models import ModelExtension, ModelList, ModelObject, Parity
from service.api.state import AppState, UsesAppState
from service.db.models.aliases import Aliases, is_alias
from service.db.models.models import TunedModel, TunedModels, model_not_found
from service.db.tenancy import Tenant

router = APIRouter(prefix="/models", tags=["Models"])


@router.get("", operation_id="models_list", summary="List models")
def list_models(caller: ModelReader, state: UsesAppState) -> ModelList:
    """Lists the base models that the project may use, its tuned models and its aliases. The project's own
    checkpoints are not listed, but can be used by name. Models and checkpoints shared by other projects are
    listed."""
    with state.database.read() as session:
        models = TunedModels(session, caller.tenant)
        tuned = models.list()
        aliases = Aliases(session, caller.tenant).list()
        named = models.resolve_all(name for alias in aliases for name in (alias.model, alias.name))
    permitted = [spec for spec in state.catalogue.values() if caller.rights.has_model(spec.alias)]
    bases = {spec.alias: _base(spec, state) for spec in permitted}
    known = {name: _tuned(model, caller.tenant, state) for name, model in named.items()} | bases
    return ModelList(
        data=[
            *bases.values(),
            *(_tuned(model, caller.tenant, state) for model in tuned),
            # A base may have left the catalogue, and a model's own name is never an alias.
            *(
                _alias(alias.name, known[alias.model])
                for alias in aliases
                if alias.model in known and alias.name not in known
            ),
        ]
    )


@router.get("/{model:path}", operation_id="models_retrieve", summary="Retrieve a model")
def retrieve(caller: ModelReader, state: UsesAppState, model: str) -> ModelObject:
    with state.database.read() as session:
        named = TunedModels(session, caller.tenant).named(model, state.catalogue)
    if isinstance(named, str):
        if not caller.rights.has_model(named):
            raise model_not_found(model)
        found = _base(state.catalogue[named], state)
    else:
        found = _tuned(named, caller.tenant, state)
    return found if found.id == model else _alias(model, found)


@router.delete("/{model:path}", operation_id="models_delete", summary="Delete a tuned model")
def delete(caller: Writer, state: UsesAppState, model: str) -> Deleted:
    """Deletes the model and its checkpoints. A checkpoint can be deleted on its own once its job has
    ended."""
    if model in state.catalogue:
        raise PermissionDenied(
            f"'{model}' is a base model of this server and cannot be deleted.", param="model"
        )
    with state.database.write(frees_space=True) as session:
        models = TunedModels(session, caller.tenant)
        if is_alias(model) or models.own_name(model) != model:
            raise InvalidRequest(
                f"'{model}' is not a model's own name. DELETE /v1/aliases/{model} deletes an alias.",
                param="model",
            )
        models.delete(model)
    return Deleted(id=model, object="model")


def _alias(name: str, model: ModelObject) -> ModelObject:
    extension = model.tunery.model_copy(update={"alias_of": model.id})
    return model.model_copy(update={"id": name, "tunery": extension})


def _base(spec: BaseSpec, state: AppState) -> ModelObject:
    extension = ModelExtension(
        base=spec.alias,
        architecture=spec.architecture,
        **_context(spec, state),
        job_id=None,
        evaluation=None,
        parity=None,
        unavailable=state.availability.reason(spec.alias),
    )
    return ModelObject(id=spec.alias, created=spec.created, owned_by=spec.owned_by, tunery=extension)


def _context(base: BaseSpec | None, state: AppState) -> dict[str, int | None]:
    if base is None:
        return {"context_length": None}
    served = state.availability.context(base.alias)
    if served is None or served >= base.context_length:
        return {"context_length": base.context_length}
    return {"context_length": served, "full_context_length": base.context_length}


def _tuned(model: TunedModel, tenant: Tenant, state: AppState) -> ModelObject:
    base = state.catalogue.get(model.base)
    extension = ModelExtension(
        base=model.base,
        architecture=base and base.architecture,
        **_context(base, state),
        job_id=model.job_id if model.owner == tenant else None,
        import_id=model.import_id if model.owner == tenant else None,
        evaluation=public_evaluation(model.report),
        parity=None if model.parity is None else Parity(**model.parity.model_dump()),
        unavailable=state.availability.reason(model.base),
        provenance=public_provenance(model.provenance, model.parent),
    )
    return ModelObject(
        id=model.name, created=model.created_at, owned_by=tenant.organization_id, tunery=extension
    )
