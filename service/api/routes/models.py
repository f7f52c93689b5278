"""`/v1/models`: the catalogue's bases and the tenant's own tuned models. Engines are never asked."""

from fastapi import APIRouter

from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import NotFound, PermissionDenied
from cluster.contracts.generation import ModelRef
from service.api.http.auth import ModelReader, Writer
from service.api.jobs.public_evaluation import public_evaluation
from service.api.schemas.base import Deleted
from service.api.schemas.models import ModelExtension, ModelList, ModelObject, Parity
from service.api.state import Parts, UsesParts
from service.db.models import Models, TunedModel
from service.db.tenancy import Tenant

router = APIRouter(prefix="/models", tags=["Models"])


@router.get("", operation_id="models_list", summary="List models")
def list_models(caller: ModelReader, parts: UsesParts) -> ModelList:
    """Checkpoints are not listed, but answer to their names."""
    with parts.database.read() as session:
        tuned = Models(session, caller.tenant).list()
    bases = [_base(spec, parts) for spec in parts.catalogue.values()]
    return ModelList(data=bases + [_tuned(model, caller.tenant, parts) for model in tuned])


@router.get("/{model:path}", operation_id="models_retrieve", summary="Retrieve a model")
def retrieve(caller: ModelReader, parts: UsesParts, model: str) -> ModelObject:
    if model in parts.catalogue:
        return _base(parts.catalogue[model], parts)
    with parts.database.read() as session:
        found = Models(session, caller.tenant).resolve(model)
    return _tuned(found, caller.tenant, parts)


@router.delete("/{model:path}", operation_id="models_delete", summary="Delete a tuned model")
def delete(caller: Writer, parts: UsesParts, model: str) -> Deleted:
    """Its checkpoints go with it. A checkpoint alone may be deleted too, once its job has ended."""
    if model in parts.catalogue:
        raise PermissionDenied(
            f"'{model}' is a base model of this server and cannot be deleted.", param="model"
        )
    with parts.database.write(frees_space=True) as session:
        Models(session, caller.tenant).delete(model)
    return Deleted(id=model, object="model")


async def resolve(parts: Parts, tenant: Tenant, name: str) -> ModelRef:
    """What a request's `model` stands for. Raises NotFound (`model_not_found`), the same for a name that does
    not exist and for one of another tenant."""

    def look() -> TunedModel:
        with parts.database.read() as session:
            return Models(session, tenant).resolve(name)

    if name in parts.catalogue:
        return ModelRef(base=parts.catalogue[name])
    found: TunedModel = await parts.lookups.get(("model", tenant, name), look)
    if found.base not in parts.catalogue:
        raise NotFound(
            f"The model '{name}' was tuned from '{found.base}', which is not in the catalogue any more.",
            code="model_not_found",
            param="model",
        )
    return ModelRef(base=parts.catalogue[found.base], adapter=found.adapter)


def _base(spec: BaseSpec, parts: Parts) -> ModelObject:
    extension = ModelExtension(
        base=spec.alias,
        job_id=None,
        evaluation=None,
        parity=None,
        unavailable=parts.availability.reason(spec.alias),
    )
    return ModelObject(id=spec.alias, created=spec.created, owned_by=spec.owned_by, tunery=extension)


def _tuned(model: TunedModel, tenant: Tenant, parts: Parts) -> ModelObject:
    extension = ModelExtension(
        base=model.base,
        job_id=model.job_id,
        evaluation=public_evaluation(model.report),
        parity=Parity(**model.parity) if model.parity else None,
        unavailable=parts.availability.reason(model.base),
    )
    return ModelObject(
        id=model.name, created=model.created_at, owned_by=tenant.organization_id, tunery=extension
    )
