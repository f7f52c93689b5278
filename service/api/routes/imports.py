"""`/v1/models/import`: adapters that were trained elsewhere become models."""

from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy.orm import Session

from cluster.contracts.errors import InvalidRequest, NotFound
from cluster.contracts.imports import CONFIG_FILE, WEIGHTS_FILE, check_size
from service.api.http.auth import Reader, Writer
from service.api.http.strict_json import StrictJsonRoute
from service.api.schemas.base import Absent, OrDefault, WholeNumber
from service.api.schemas.imports import ImportModelBody, ModelImport, ModelImportError, ModelImportList
from service.api.state import UsesAppState
from service.db.files.files import File, Files
from service.db.models import imports
from service.db.models.imports import Imports
from service.db.organization.projects import Projects
from service.db.tenancy import Tenant

router = APIRouter(prefix="/models/import", tags=["Models"], route_class=StrictJsonRoute)


@router.post("", operation_id="models_import", summary="Import an adapter")
def create(caller: Writer, state: UsesAppState, body: ImportModelBody) -> ModelImport:
    """Imports a plain LoRA adapter in PEFT's format, with safetensors. The adapter is checked against its
    base and tested in the engine; the model is available once the import has `succeeded`."""
    base = state.catalogue.get(body.base)
    if base is None:
        raise InvalidRequest(
            f"The model '{body.base}' is no base model of this server. GET /v1/models lists them.",
            code="model_not_found",
            param="base",
        )
    caller.rights.check_model(base.alias, param="base")
    if base.architecture == "encoder":
        raise InvalidRequest(
            f"Model {base.alias} is an encoder; adapters can be imported for models that write text.",
            code="unsupported_adapter",
            param="base",
        )
    with state.database.write() as session:
        # Only one new import of a project at a time.
        Projects(session, caller.tenant.organization_id).active_tenant(caller.tenant.project_id)
        config, weights = _files(
            session, caller.tenant, body.files, max_weights_bytes=state.settings.max_import_bytes
        )
        created = Imports(session, caller.tenant).create(
            base=base.alias, config_file=config, weights_file=weights, suffix=body.suffix
        )
    return _public(created)


@router.get("", operation_id="models_import_list", summary="List imports")
def list_imports(
    caller: Reader,
    state: UsesAppState,
    after: Annotated[str | Absent, OrDefault] = None,
    limit: Annotated[int, Query(ge=1, le=100), WholeNumber] = 20,
) -> ModelImportList:
    """Lists imports, newest first."""
    with state.database.read() as session:
        found = Imports(session, caller.tenant).page(after=after, limit=limit)
    return ModelImportList(data=[_public(one) for one in found.data], has_more=found.has_more)


@router.get("/{import_id}", operation_id="models_import_retrieve", summary="Retrieve an import")
def retrieve(caller: Reader, state: UsesAppState, import_id: str) -> ModelImport:
    with state.database.read() as session:
        return _public(Imports(session, caller.tenant).get(import_id))


def _files(session: Session, tenant: Tenant, ids: list[str], *, max_weights_bytes: int) -> tuple[str, str]:
    """Returns the ids of the configuration and the weights. Raises InvalidRequest if the files are not these
    two, or are too large."""
    files = Files(session, tenant)
    named: dict[str, File] = {}
    # Locked in the order of their ids, so that requests cannot deadlock.
    for id in sorted(ids):
        try:
            file = files.get_and_lock(id)
        except NotFound as error:
            raise InvalidRequest(error.message, code="file_not_found", param="files") from error
        named[file.filename] = file
    if named.keys() != {CONFIG_FILE, WEIGHTS_FILE}:
        raise InvalidRequest(
            f"An adapter is {CONFIG_FILE} and {WEIGHTS_FILE}; these files are {', '.join(sorted(named))}. "
            "Other formats of weights, such as .bin, could run code when they are read.",
            code="unsupported_adapter",
            param="files",
        )
    for name, file in named.items():
        check_size(name, file.bytes, max_weights_bytes)
    return named[CONFIG_FILE].id, named[WEIGHTS_FILE].id


def _public(one: imports.ModelImport) -> ModelImport:
    return ModelImport(
        id=one.id,
        status=one.status,
        base=one.base,
        files=[one.config_file, one.weights_file],
        model=one.output_model if one.status == "succeeded" else None,
        error=None if one.error is None else ModelImportError(**one.error),
        created_at=one.created_at,
        finished_at=one.finished_at,
    )
