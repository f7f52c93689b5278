"""`/v1/exports`: tuned models in the formats of other programs."""

from typing import Annotated

from fastapi import APIRouter, Query

from service.api.http.auth import Reader, Writer
from service.api.http.strict_json import StrictJsonRoute
from service.api.schemas.base import Absent, OrDefault, WholeNumber
from service.api.schemas.exports import (
    DeletedExport,
    ExportedBytes,
    ExportError,
    ExportModelBody,
    ModelExport,
    ModelExportList,
)
from service.api.state import UsesAppState
from service.api.weights.formats import check_exportable, quantization_of
from service.api.weights.tuned import resolve_tuned
from service.db.models import exports
from service.db.models.exports import Exports
from service.db.models.models import TunedModels
from service.db.organization.projects import Projects
from service.db.retention.terms import terms_of

router = APIRouter(tags=["Exports"], route_class=StrictJsonRoute)


@router.post("/models/{model:path}/exports", operation_id="exports_create", summary="Export a tuned model")
def create(caller: Writer, state: UsesAppState, model: str, body: ExportModelBody) -> ModelExport:
    """Exports the model's weights on the cluster. Wait until the export has `succeeded`, then download the
    files from `/models/{model}/weights` with the same `format`. If an export of the same weights already
    exists, it is returned and its expiry is extended."""
    quantization = quantization_of(body.format, body.quantization)
    with state.database.write() as session:
        # Only one new export of a project at a time.
        Projects(session, caller.tenant.organization_id).active_tenant(caller.tenant.project_id)
        name = resolve_tuned(session, caller.tenant, model, state.catalogue).name
        found = TunedModels(session, caller.tenant).resolve_and_lock(name)
        check_exportable(found, body.format)
        terms = terms_of(session, state.settings.retention, caller.tenant.project_id)
        created = Exports(session, caller.tenant).create(
            found, body.format, quantization, seconds=terms["exports"].seconds
        )
    return _public(created)


@router.get(
    "/models/{model:path}/exports", operation_id="exports_list", summary="List a tuned model's exports"
)
def list_exports(
    caller: Reader,
    state: UsesAppState,
    model: str,
    after: Annotated[str | Absent, OrDefault] = None,
    limit: Annotated[int, Query(ge=1, le=100), WholeNumber] = 20,
) -> ModelExportList:
    """Lists exports of the model's weights, newest first."""
    with state.database.read() as session:
        found = resolve_tuned(session, caller.tenant, model, state.catalogue)
        listed = Exports(session, caller.tenant).page(found.adapter, after=after, limit=limit)
    return ModelExportList(data=[_public(one) for one in listed.data], has_more=listed.has_more)


@router.get("/exports/{export_id}", operation_id="exports_retrieve", summary="Retrieve an export")
def retrieve(caller: Reader, state: UsesAppState, export_id: str) -> ModelExport:
    with state.database.read() as session:
        return _public(Exports(session, caller.tenant).get(export_id))


@router.delete("/exports/{export_id}", operation_id="exports_delete", summary="Delete an export")
def delete(caller: Writer, state: UsesAppState, export_id: str) -> DeletedExport:
    """Deletes the export, or cancels it if it is not finished. The model is kept."""
    with state.database.write(frees_space=True) as session:
        Exports(session, caller.tenant).delete(export_id)
    return DeletedExport(id=export_id)


def _public(one: exports.ModelExport) -> ModelExport:
    return ModelExport(
        id=one.id,
        model=one.model,
        format=one.format,
        quantization=one.quantization,
        status=one.status,
        bytes=ExportedBytes(done=one.done_bytes, total=one.total_bytes),
        error=None if one.error is None else ExportError(**one.error),
        created_at=one.created_at,
        finished_at=one.finished_at,
        expires_at=one.expires_at,
    )
