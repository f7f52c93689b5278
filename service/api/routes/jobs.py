"""`/v1/fine_tuning/jobs`: creating, seeing and ending jobs. What happens to them is the scheduler's."""

import hashlib
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Header, Query, Request

from cluster.contracts.errors import InvalidRequest
from cluster.contracts.hyperparameters import TrainingOptions, resolve
from service.api.auth import Reader, Writer
from service.api.parts import Parts, UsesParts
from service.api.public_jobs import public_checkpoint, public_job
from service.api.schemas.base import Absent
from service.api.schemas.jobs import (
    CreateJobBody,
    FineTuningJob,
    FineTuningJobCheckpointList,
    FineTuningJobList,
    HyperparametersBody,
    OtherMethodBody,
)
from service.api.strict_json import StrictJsonRoute
from service.db.jobs import Jobs, NewJob

router = APIRouter(prefix="/fine_tuning/jobs", tags=["Fine-tuning"], route_class=StrictJsonRoute)

_METADATA_PARAMETER: dict[str, Any] = {
    "name": "metadata",
    "in": "query",
    "style": "deepObject",
    "explode": True,
    "description": "Only jobs with these pairs, `metadata[key]=value`; `metadata=null`: only those without.",
    "schema": {"type": "object", "additionalProperties": {"type": "string"}},
}


@router.post("", operation_id="fine_tuning_jobs_create", summary="Create a fine-tuning job")
def create(
    body: CreateJobBody,
    caller: Writer,
    parts: UsesParts,
    x_stainless_retry_count: Annotated[int, Header(include_in_schema=False)] = 0,
) -> FineTuningJob:
    """Answers at once with a job that is `validating_files`."""
    new = _new_job(body, parts)
    assert new.request_sha256 is not None
    with parts.database.write() as session:
        jobs = Jobs(session, caller.tenant)
        repeated = None
        if x_stainless_retry_count >= 1:
            # The openai SDK repeats a create whose answer it lost, without any other mark of it.
            repeated = jobs.find_repeat(new.request_sha256, within_seconds=parts.settings.repeat_seconds)
        return public_job(repeated or jobs.create(new))


@router.get(
    "",
    operation_id="fine_tuning_jobs_list",
    summary="List fine-tuning jobs",
    openapi_extra={"parameters": [_METADATA_PARAMETER]},
)
def list_jobs(
    request: Request,
    caller: Reader,
    parts: UsesParts,
    after: str | Absent = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> FineTuningJobList:
    metadata = _metadata_filter(request)
    with parts.database.read() as session:
        page = Jobs(session, caller.tenant).list(after=after, limit=limit, metadata=metadata)
    return FineTuningJobList(data=[public_job(job) for job in page.data], has_more=page.has_more)


@router.get("/{job_id}", operation_id="fine_tuning_jobs_retrieve", summary="Retrieve a fine-tuning job")
def retrieve(caller: Reader, parts: UsesParts, job_id: str) -> FineTuningJob:
    with parts.database.read() as session:
        return public_job(Jobs(session, caller.tenant).get(job_id))


@router.post("/{job_id}/cancel", operation_id="fine_tuning_jobs_cancel", summary="Cancel a fine-tuning job")
def cancel(caller: Writer, parts: UsesParts, job_id: str) -> FineTuningJob:
    with parts.database.write() as session:
        return public_job(Jobs(session, caller.tenant).cancel(job_id))


@router.get(
    "/{job_id}/checkpoints",
    operation_id="fine_tuning_jobs_checkpoints_list",
    summary="List a job's checkpoints",
)
def list_checkpoints(
    caller: Reader,
    parts: UsesParts,
    job_id: str,
    after: str | Absent = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> FineTuningJobCheckpointList:
    with parts.database.read() as session:
        page = Jobs(session, caller.tenant).checkpoints(job_id, after=after, limit=limit)
    data = [public_checkpoint(checkpoint) for checkpoint in page.data]
    return FineTuningJobCheckpointList(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=page.has_more,
    )


def _new_job(body: CreateJobBody, parts: Parts) -> NewJob:
    """Everything that can be refused without looking at the files. Raises InvalidRequest."""
    base = parts.catalogue.get(body.model)
    if base is None:
        raise InvalidRequest(
            f"The model '{body.model}' cannot be fine-tuned or does not exist. "
            "GET /v1/models lists the base models.",
            code="model_not_found",
            param="model",
        )
    if isinstance(body.method, OtherMethodBody):
        raise InvalidRequest(
            f"The method '{body.method.type}' is not supported yet; supported: 'supervised'.",
            code="unsupported_method",
            param="method.type",
        )
    if body.integrations:
        raise InvalidRequest(
            "Integrations are not supported yet; metrics are in the job's events and result file.",
            code="unsupported_integration",
            param="integrations",
        )
    asked = _hyperparameters(body).asked()
    training = body.training or TrainingOptions()
    slots = parts.settings.training_slots
    if training.num_workers > slots:
        raise InvalidRequest(
            f"training.num_workers is {training.num_workers}, but this server runs at most {slots} at once.",
            param="training.num_workers",
        )
    resolve(
        asked, training, base, n_examples=1, seed=0
    )  # refuses a kind of training that the base does not allow
    return NewJob(
        model=base.alias,
        training_file=body.training_file,
        validation_file=body.validation_file,
        suffix=body.suffix,
        seed=body.seed,
        method={"type": "supervised", "supervised": {"hyperparameters": asked.model_dump()}},
        hyperparameters=asked,
        training=training,
        metadata=body.metadata,
        request_sha256=_sha256(body),
    )


def _hyperparameters(body: CreateJobBody) -> HyperparametersBody:
    if body.hyperparameters is not None:
        return body.hyperparameters
    if body.method is not None and not isinstance(body.method, OtherMethodBody) and body.method.supervised:
        return body.method.supervised.hyperparameters or HyperparametersBody()
    return HyperparametersBody()


def _sha256(body: CreateJobBody) -> str:
    """Of what was asked for, however it was spaced and ordered."""
    plain = body.model_dump(mode="json", exclude_unset=True)
    return hashlib.sha256(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _metadata_filter(request: Request) -> dict[str, str] | Literal["null"] | None:
    """`metadata[key]=value`, which no declared parameter can take in, or `metadata=null`."""
    pairs: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name == "metadata":
            if value != "null":
                raise InvalidRequest("Write 'metadata[key]=value', or 'metadata=null'.", param="metadata")
            return "null"
        if name.startswith("metadata[") and name.endswith("]"):
            pairs[name.removeprefix("metadata[").removesuffix("]")] = value
    return pairs or None
