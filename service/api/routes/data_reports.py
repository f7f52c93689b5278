"""`/v1/files/{file_id}/report`: what is wrong with a training file. The cluster makes the report and keeps
it."""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Response

from cluster.contracts.data_report import DataReport, DataReportRequest, StoredFile
from cluster.contracts.errors import InvalidRequest, Unavailable
from service.api.http.auth import Reader
from service.api.inference.models import resolve_model
from service.api.schemas.base import Absent, OrDefault
from service.api.schemas.data_report import FileReport
from service.api.state import AppState, UsesAppState
from service.db.files import Files
from service.db.tenancy import Tenant

_BEING_MADE = ("dataset_not_ready", "model_not_ready")
"""Codes that say that the report, or the base's tokenizer, will be there soon."""

router = APIRouter(prefix="/files", tags=["Files"])


@router.get(
    "/{file_id}/report",
    operation_id="files_report",
    summary="Check a training file for problems",
    responses={202: {"model": FileReport, "description": "The report is being made"}},
)
async def report(
    caller: Reader,
    state: UsesAppState,
    response: Response,
    file_id: str,
    validation_file: Annotated[str | Absent, OrDefault] = None,
    model: Annotated[str | Absent, OrDefault] = None,
) -> FileReport:
    """Lists all problems by kind, each with the lines and columns of the first 50 places. Errors keep the
    file from being used; warnings never do. With `validation_file`, its overlap with the file is looked for.
    With `model`, lengths are in its tokens.

    The first request for a large file is answered with 202 and the status `in_progress`; ask again after
    `Retry-After`."""
    tenant = caller.tenant
    request = DataReportRequest(
        file=await to_thread.run_sync(_stored, state, tenant, file_id, "file_id"),
        validation=None
        if validation_file is None
        else await to_thread.run_sync(_stored, state, tenant, validation_file, "validation_file"),
        base=None if model is None else (await resolve_model(state, tenant, model))[1].base,
    )
    try:
        made = await state.engine.data_report(request)
    except Unavailable as error:
        if error.code not in _BEING_MADE:
            raise
        response.status_code = 202
        response.headers["retry-after"] = str(max(1, round(error.retry_after_seconds)))
        return FileReport(file_id=file_id, validation_file=validation_file, model=model, status="in_progress")
    return _completed(made, file_id, validation_file, model)


def _stored(state: AppState, tenant: Tenant, file_id: str, param: str) -> StoredFile:
    """Raises NotFound, and InvalidRequest for a file that is not for fine-tuning."""
    with state.database.read() as session:
        file = Files(session, tenant).get(file_id)
    if file.purpose != "fine-tune":
        raise InvalidRequest(
            f"File {file_id} has the purpose '{file.purpose}'; only files for fine-tune have a data report.",
            param=param,
        )
    return StoredFile(key=file.object_key, sha256=file.sha256)


def _completed(made: DataReport, file_id: str, validation_file: str | None, model: str | None) -> FileReport:
    return FileReport(
        file_id=file_id,
        validation_file=validation_file,
        model=model,
        status="completed",
        rules_version=made.rules_version,
        format=made.format,
        n_lines=made.n_lines,
        n_examples=made.n_examples,
        errors=[finding for finding in made.findings if finding.severity == "error"],
        warnings=[finding for finding in made.findings if finding.severity == "warning"],
        lengths=made.lengths,
        overlength=made.overlength,
        labels=made.labels,
        sampled=made.sampled,
    )
