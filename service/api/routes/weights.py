"""`/v1/models/{model}/weights`: downloads of tuned weights, streamed from storage."""

import base64
import re
from typing import Annotated, Literal, TypeAlias

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from cluster.contracts.errors import CorruptArtefact, NotFound
from cluster.contracts.exports import Quantization
from service.api.http.auth import Reader
from service.api.http.ranges import Segment, download
from service.api.schemas.base import Absent, OrDefault
from service.api.schemas.weights import ModelWeights, WeightsFileObject
from service.api.state import AppState, UsesAppState
from service.api.weights.archive import in_memory, tar_segments
from service.api.weights.folder import ModelFolder, WeightsFile, export_folder, model_folder
from service.api.weights.formats import check_exportable, is_original, not_ready, quantization_of
from service.api.weights.tuned import resolve_tuned
from service.db.models.exports import Exports, ModelExport
from service.db.models.models import TunedModel
from service.db.tenancy import Tenant

_BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_FORMS = {"lora": "adapter", "qlora": "adapter", "prefix": "prefix", "full": "full", "gguf": "gguf"}

_Formats: TypeAlias = Literal["original", "merged", "gguf"]
_Format = Annotated[
    _Formats,
    Query(
        description="`original`: as the model was trained. `merged`: a full model, which full fine-tunes "
        "already are. `gguf`: for llama.cpp. Formats other than the model's own must be exported first."
    ),
    OrDefault,
]
_Quantization = Annotated[
    Quantization | Absent,
    Query(description="The quantization of a `gguf` export: `f16`, the default, `bf16` or `q8_0`."),
    OrDefault,
]

router = APIRouter(prefix="/models", tags=["Models"])


@router.get(
    "/{model:path}/weights",
    operation_id="models_weights",
    summary="List a tuned model's weights",
    response_model=ModelWeights,
    responses={200: {"content": _BINARY}},
)
def list_weights(
    caller: Reader,
    state: UsesAppState,
    request: Request,
    model: str,
    format: _Format = "original",
    quantization: _Quantization = None,
    archive: Annotated[
        Literal["tar"] | Absent,
        Query(
            description="`tar`: returns all files in one uncompressed archive, whose download can be resumed."
        ),
        OrDefault,
    ] = None,
) -> ModelWeights | Response:
    """Lists the files of the weights: for an adapter, a folder for `PeftModel.from_pretrained`; for a full
    model, a folder for transformers. Both include a model card. Checkpoints also have weights. Responds with
    409 `export_not_ready` if the format must be exported first."""
    found, folder = _find(state, caller.tenant, model, format, quantization)
    if archive is None:
        return _public(found, folder)
    name = re.sub(r"[^A-Za-z0-9._-]", "-", model)
    segments = tar_segments(name, folder.files, lambda file: _segment(state, file))
    headers = {"content-disposition": f'attachment; filename="{name}.tar"'}
    return download(request.headers, segments, etag=f'"{folder.digest}"', headers=headers)


@router.get(
    "/{model:path}/weights/{filename}",
    operation_id="models_weights_file",
    summary="Download a file of a tuned model's weights",
    response_class=Response,
    responses={200: {"content": _BINARY}, 206: {"content": _BINARY, "description": "The requested range"}},
)
def download_file(
    caller: Reader,
    state: UsesAppState,
    request: Request,
    model: str,
    filename: str,
    format: _Format = "original",
    quantization: _Quantization = None,
) -> Response:
    """Supports requests for a single range. The `ETag` is the file's SHA-256 in hex, and `Repr-Digest` (RFC
    9530) contains it in base64."""
    _, folder = _find(state, caller.tenant, model, format, quantization)
    file = folder.file(filename)
    digest = base64.b64encode(bytes.fromhex(file.sha256)).decode()
    headers = {
        "content-disposition": f'attachment; filename="{file.name}"',
        "repr-digest": f"sha-256=:{digest}:",
    }
    return download(request.headers, [_segment(state, file)], etag=f'"{file.sha256}"', headers=headers)


def _find(
    state: AppState, tenant: Tenant, name: str, format: _Formats, quantization: Quantization | None
) -> tuple[TunedModel, ModelFolder]:
    """Raises InvalidRequest (`format_not_available`), and Conflict (`export_not_ready`)."""
    found, export = _resolve(state, tenant, name, format, quantization)
    try:
        if export is None:
            return found, model_folder(found.name, found.adapter, state.store, state.catalogue)
        return found, export_folder(found.name, export, state.store, state.catalogue)
    except NotFound as error:
        # The export may have been deleted in the meantime.
        _resolve(state, tenant, found.name, format, quantization)
        raise CorruptArtefact(f"The weights of '{name}' are missing in storage.") from error


def _resolve(
    state: AppState, tenant: Tenant, name: str, format: _Formats, quantization: Quantization | None
) -> tuple[TunedModel, ModelExport | None]:
    """Returns the model, and its export in the format, unless the model itself has the format."""
    with state.database.read() as session:
        found = resolve_tuned(session, tenant, name, state.catalogue)
        if format == "original" or is_original(found, format):
            return found, None
        check_exportable(found, format)
        quantization = quantization_of(format, quantization)
        export = Exports(session, tenant).find(found.adapter, format, quantization)
    if export is None or export.status != "succeeded":
        raise not_ready(found, format, export)
    return found, export


def _segment(state: AppState, file: WeightsFile) -> Segment:
    source = file.source
    if isinstance(source, bytes):
        return in_memory(source)
    return Segment(file.bytes, lambda start: state.store.open(source, start=start))


def _public(found: TunedModel, folder: ModelFolder) -> ModelWeights:
    return ModelWeights(
        model=found.name,
        base=found.base,
        form=_FORMS[folder.form],
        bytes=sum(file.bytes for file in folder.files),
        files=[
            WeightsFileObject(filename=file.name, bytes=file.bytes, sha256=file.sha256)
            for file in folder.files
        ],
    )
