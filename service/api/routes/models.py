"""`/v1/models`: the catalogue's base models and the tenant's tuned models. Never calls the engines."""

from fastapi import APIRouter

from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import PermissionDenied
from service.api.http.auth import ModelReader, Writer
from service.api.jobs.public_evaluation import public_evaluation
from service.api.schemas.base import Deleted
from service.api.schemas.models import ModelExtension, ModelList, ModelObject, Parity
from service.api.state import AppState, UsesAppState
from service.db.models import TunedModel, TunedModels
from service.db.tenancy import Tenant

router = APIRouter(prefix="/models", tags=["Models"])


@router.get("", operation_id="models_list", summary="List models")
def list_models(caller: ModelReader, state: UsesAppState) -> ModelList:
    """Checkpoints are not listed, but can be used by name."""
    with state.database.read() as session:
        tuned = TunedModels(session, caller.tenant).list()
    bases = [_base(spec, state) for spec in state.catalogue.values()]
    return ModelList(data=bases + [_tuned(model, caller.tenant, state) for model in tuned])


@router.get("/{model:path}", operation_id="models_retrieve", summary="Retrieve a model")
def retrieve(caller: ModelReader, state: UsesAppState, model: str) -> ModelObject:
    if model in state.catalogue:
        return _base(state.catalogue[model], state)
    with state.database.read() as session:
        found = TunedModels(session, caller.tenant).resolve(model)
    return _tuned(found, caller.tenant, state)


@router.delete("/{model:path}", operation_id="models_delete", summary="Delete a tuned model")
def delete(caller: Writer, state: UsesAppState, model: str) -> Deleted:
    """Also deletes its checkpoints. A checkpoint can be deleted on its own once its job has ended."""
    if model in state.catalogue:
        raise PermissionDenied(
            f"'{model}' is a base model of this server and cannot be deleted.", param="model"
        )
    with state.database.write(frees_space=True) as session:
        TunedModels(session, caller.tenant).delete(model)
    return Deleted(id=model, object="model")


def _base(spec: BaseSpec, state: AppState) -> ModelObject:
    extension = ModelExtension(
        base=spec.alias,
        job_id=None,
        evaluation=None,
        parity=None,
        unavailable=state.availability.reason(spec.alias),
    )
    return ModelObject(id=spec.alias, created=spec.created, owned_by=spec.owned_by, tunery=extension)


def _tuned(model: TunedModel, tenant: Tenant, state: AppState) -> ModelObject:
    extension = ModelExtension(
        base=model.base,
        job_id=model.job_id,
        evaluation=public_evaluation(model.report),
        parity=Parity(**model.parity) if model.parity else None,
        unavailable=state.availability.reason(model.base),
    )
    return ModelObject(
        id=model.name, created=model.created_at, owned_by=tenant.organization_id, tunery=extension
    )
