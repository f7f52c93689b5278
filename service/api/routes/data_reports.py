"""`/v1/files/{file_id}/report`: what is wrong with a training file, and the same for the files of a job. The
cluster makes the reports and keeps them."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from cluster.contracts.data_report import DataReport, DataReportRequest, StoredFile
from cluster.contracts.errors import InvalidRequest, Unavailable
from service.api.http.auth import Reader
from service.api.http.connection import while_connected
from service.api.inference.models import resolve_model
from service.api.schemas.base import Absent, OrDefault
from service.api.schemas.data_report import FileReport
from service.api.state import AppState, UsesAppState
from service.db.files.files import Files
from service.db.jobs.jobs import Jobs
from service.db.organization.api_keys import Principal
from service.db.tenancy import Tenant

_BEING_MADE = ("dataset_not_ready", "model_not_ready")
"""Error codes for a report, or the base's tokenizer, that will be available soon."""
_ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {"model": FileReport, "description": "The report is being made"}
}

router = APIRouter()


@router.get(
    "/files/{file_id}/report",
    operation_id="files_report",
    summary="Check a training file for problems",
    tags=["Files"],
    responses=_ACCEPTED,
)
async def file_report(
    request: Request,
    caller: Reader,
    state: UsesAppState,
    response: Response,
    file_id: str,
    validation_file: Annotated[str | Absent, OrDefault] = None,
    model: Annotated[str | Absent, OrDefault] = None,
) -> FileReport:
    """Lists all problems by kind, each with the lines and columns of its first 50 occurrences. Errors prevent
    the file from being used; warnings never do. With `validation_file`, the report also shows its overlap
    with the file. With `model`, lengths are in that model's tokens.

    The first request for a large file is answered with 202 and the status `in_progress`; repeat it after
    `Retry-After`."""
    return await _report(request, state, caller, response, file_id, validation_file, model)


@router.get(
    "/fine_tuning/jobs/{job_id}/report",
    operation_id="fine_tuning_jobs_report",
    summary="Check the files of a job for problems",
    tags=["Fine-tuning"],
    responses=_ACCEPTED,
)
async def job_report(
    request: Request, caller: Reader, state: UsesAppState, response: Response, job_id: str
) -> FileReport:
    """Returns the report on the job's training file, with the job's validation file and base model."""

    def read() -> tuple[str, str | None, str]:
        with state.database.read() as session:
            job = Jobs(session, caller.tenant).get(job_id)
        return job.training_file, job.validation_file, job.model

    return await _report(request, state, caller, response, *await run_in_threadpool(read))


async def _report(
    request: Request,
    state: AppState,
    caller: Principal,
    response: Response,
    file_id: str,
    validation_file: str | None,
    model: str | None,
) -> FileReport:
    tenant = caller.tenant
    base = None if model is None else (await resolve_model(state, caller, model))[1].base

    def wanted() -> DataReportRequest:
        validation = None
        if validation_file is not None:
            validation = _stored(state, tenant, validation_file, "validation_file")
        file = _stored(state, tenant, file_id, "file_id")
        encryption_key = state.encryption_key(tenant)
        return DataReportRequest(file=file, validation=validation, base=base, encryption_key=encryption_key)

    try:
        reading = state.engine.data_report(await run_in_threadpool(wanted), project_id=tenant.project_id)
        made = await while_connected(request, reading)
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
    # The parts are shown as they are.
    parts = {name: getattr(made, name) for name in DataReport.model_fields}
    return FileReport(
        file_id=file_id,
        validation_file=validation_file,
        model=model,
        status="completed",
        **parts,
    )
