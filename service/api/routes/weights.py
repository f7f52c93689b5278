"""`/v1/models/{model}/weights`: downloads of tuned weights, streamed from storage."""

import base64
import re
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from cluster.contracts.errors import CorruptArtefact, InvalidRequest, NotFound, PermissionDenied
from service.api.http.auth import Reader
from service.api.http.ranges import Segment, download
from service.api.schemas.base import Absent, OrDefault
from service.api.schemas.weights import ModelWeights, WeightsFileObject
from service.api.state import AppState, UsesAppState
from service.api.weights.archive import in_memory, tar_segments
from service.api.weights.folder import ModelFolder, WeightsFile, model_folder
from service.db.models.aliases import Aliases
from service.db.models.models import TunedModel, TunedModels
from service.db.tenancy import Tenant

_BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_FORMS = {"lora": "adapter", "qlora": "adapter", "prefix": "prefix", "full": "full"}

_Format = Annotated[
    Literal["original", "merged", "gguf"],
    Query(
        description="`original`: as the model was trained. `merged`: a full model, which full fine-tunes are "
        "already; adapters are refused. `gguf` is refused."
    ),
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
    archive: Annotated[
        Literal["tar"] | Absent,
        Query(description="`tar`: answers with all files in one uncompressed archive, which can be resumed."),
        OrDefault,
    ] = None,
) -> ModelWeights | Response:
    """An adapter is a folder for `PeftModel.from_pretrained`, and a full model one for transformers; each
    comes with a model card. Checkpoints have weights too."""
    found, folder = _find(state, caller.tenant, model)
    _check_format(format, found)
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
    caller: Reader, state: UsesAppState, request: Request, model: str, filename: str
) -> Response:
    """Answers single ranges. The `ETag` is the file's SHA-256 in hex, and `Repr-Digest` (RFC 9530) has it in
    base64."""
    _, folder = _find(state, caller.tenant, model)
    file = folder.file(filename)
    digest = base64.b64encode(bytes.fromhex(file.sha256)).decode()
    headers = {
        "content-disposition": f'attachment; filename="{file.name}"',
        "repr-digest": f"sha-256=:{digest}:",
    }
    return download(request.headers, [_segment(state, file)], etag=f'"{file.sha256}"', headers=headers)


def _check_format(format: str, found: TunedModel) -> None:
    """Raises InvalidRequest (`format_not_available`)."""
    if format == "original" or (format == "merged" and found.adapter.form == "full"):
        return
    if format == "merged":
        how = "Download the adapter, and merge it with `merge_and_unload` of the PEFT library."
    else:
        how = "Download the weights, and convert the folder with a script of llama.cpp: " + (
            "convert_hf_to_gguf.py." if found.adapter.form == "full" else "convert_lora_to_gguf.py."
        )
    raise InvalidRequest(
        f"This server does not make the format '{format}' of '{found.name}'. {how}",
        code="format_not_available",
        param="format",
    )


def _find(state: AppState, tenant: Tenant, name: str) -> tuple[TunedModel, ModelFolder]:
    found = _resolve(state, tenant, name)
    try:
        return found, model_folder(found.name, found.adapter, state.store, state.catalogue)
    except NotFound as error:
        # It may have been deleted in the meantime.
        _resolve(state, tenant, found.name)
        raise CorruptArtefact(f"The weights of '{name}' are missing in storage.") from error


def _resolve(state: AppState, tenant: Tenant, name: str) -> TunedModel:
    with state.database.read() as session:
        name = Aliases(session, tenant).resolve(name)
        if name not in state.catalogue:
            return TunedModels(session, tenant).resolve(name)
    raise PermissionDenied(
        f"'{name}' is a base model. Its weights are its publisher's; only tuned models can be downloaded.",
        param="model",
    )


def _segment(state: AppState, file: WeightsFile) -> Segment:
    source = file.source
    if isinstance(source, bytes):
        return in_memory(source)
    return Segment(file.bytes, lambda start: state.store.open(source, start=start))


def _public(found: TunedModel, folder: ModelFolder) -> ModelWeights:
    return ModelWeights(
        model=found.name,
        base=found.base,
        form=_FORMS[found.adapter.form],
        bytes=sum(file.bytes for file in folder.files),
        files=[
            WeightsFileObject(filename=file.name, bytes=file.bytes, sha256=file.sha256)
            for file in folder.files
        ],
    )
