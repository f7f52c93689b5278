"""`/v1/fine_tuning/jobs`: creates, lists, pauses, resumes, cancels and republishes jobs. The scheduler runs
them."""

import re
import time
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Header, Query, Request
from sqlalchemy.orm import Session

from cluster.contracts.errors import InvalidRequest, PermissionDenied
from service.api.http.auth import Reader, Writer
from service.api.http.strict_json import StrictJsonRoute
from service.api.jobs.dry_runs import check_may_run, prepare
from service.api.jobs.idempotency import create_idempotently
from service.api.jobs.new_jobs import request_sha256
from service.api.jobs.public_jobs import public_checkpoint, public_job, public_jobs
from service.api.schemas.base import MAX_PAIRS, Absent, OrDefault, WholeNumber, at_most
from service.api.schemas.jobs import (
    CreateJobBody,
    FineTuningJob,
    FineTuningJobCheckpointList,
    FineTuningJobList,
    RepublishBody,
    UpdatePriorityBody,
)
from service.api.state import AppState, UsesAppState
from service.db.idempotency import CreateRequest
from service.db.jobs.checkpoints import Checkpoints
from service.db.jobs.jobs import Job, Jobs
from service.db.limits.priorities import check_priority
from service.db.limits.quotas import Quotas
from service.db.organization.api_keys import Principal
from service.db.organization.projects import lock_project

router = APIRouter(prefix="/fine_tuning/jobs", tags=["Fine-tuning"], route_class=StrictJsonRoute)

_METADATA_PARAMETER: dict[str, Any] = {
    "name": "metadata",
    "in": "query",
    "style": "deepObject",
    "explode": True,
    "description": "`metadata[key]=value` returns only jobs with these pairs; `metadata=null` returns only "
    "jobs without metadata.",
    "schema": {"type": "object", "additionalProperties": {"type": "string"}},
}

_EXAMPLES: dict[str, Any] = {
    name: {"summary": summary, "value": {"model": "tunery-tiny-1", "training_file": "file-abc123", **more}}
    for name, summary, more in (
        ("new", "Tune a base model", {"suffix": "orders"}),
        (
            "continue",
            "Continue from a checkpoint of a former job",
            {"training": {"from_checkpoint": "ft:tunery-tiny-1:tunery:orders:a1b2c3d4:ckpt-step-63"}},
        ),
        (
            "replay",
            "Repeat a former job with another number of epochs",
            {
                "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 6}}},
                "training": {"source_job": "ftjob-abc123"},
            },
        ),
    )
}


async def _began() -> float:
    # Measured on the event loop, because a request may wait a long time for a thread.
    return time.monotonic()


@router.post("", operation_id="fine_tuning_jobs_create", summary="Create a fine-tuning job")
def create(
    body: Annotated[CreateJobBody, Body(openapi_examples=_EXAMPLES)],
    caller: Writer,
    state: UsesAppState,
    began: Annotated[float, Depends(_began)],
    idempotency_key: Annotated[str | Absent, Header(min_length=1, max_length=255)] = None,
    x_stainless_retry_count: Annotated[str, Header(include_in_schema=False)] = "",
    x_stainless_read_timeout: Annotated[str, Header(include_in_schema=False)] = "",
) -> FineTuningJob:
    """Creates a job and returns it immediately with the status `validating_files`. With an `Idempotency-Key`,
    the same request creates only one job per day, no matter how often it is sent. Retries by the openai SDK
    are recognized without it."""
    request = CreateRequest(
        api_key_id=caller.key_id,
        request_sha256=request_sha256(body),
        began=began,
        retry_count=int(_number(x_stainless_retry_count) or 0),
        timeout=_number(x_stainless_read_timeout),
        idempotency_key=idempotency_key,
    )

    def create_job(session: Session) -> Job:
        lock_project(session, caller.tenant)
        new = prepare(body, session, caller.tenant, state)
        jobs = Jobs(session, caller.tenant)
        # Lock files before the organization, whose row the quotas lock: deletions use the same order.
        jobs.check_files(new)
        _quotas(session, caller, state).check_new_job()
        return jobs.create(replace(new, api_key_id=caller.key_id))

    return public_job(create_idempotently(state, caller.tenant, request, create_job))


@router.get(
    "",
    operation_id="fine_tuning_jobs_list",
    summary="List fine-tuning jobs",
    openapi_extra={"parameters": [_METADATA_PARAMETER]},
)
def list_jobs(
    request: Request,
    caller: Reader,
    state: UsesAppState,
    after: Annotated[str | Absent, OrDefault] = None,
    limit: Annotated[int, Query(ge=1), WholeNumber, at_most(100)] = 20,
) -> FineTuningJobList:
    """Lists jobs, newest first. A page has at most 100 jobs, even if `limit` is greater."""
    metadata = _metadata_filter(request)
    with state.database.read() as session:
        page = Jobs(session, caller.tenant).list(after=after, limit=limit, metadata=metadata)
        found = public_jobs(session, page.data)
    return FineTuningJobList(data=found, has_more=page.has_more)


@router.get("/{job_id}", operation_id="fine_tuning_jobs_retrieve", summary="Retrieve a fine-tuning job")
def retrieve(caller: Reader, state: UsesAppState, job_id: str) -> FineTuningJob:
    with state.database.read() as session:
        (job,) = public_jobs(session, [Jobs(session, caller.tenant).get(job_id)])
    return job


@router.post("/{job_id}/cancel", operation_id="fine_tuning_jobs_cancel", summary="Cancel a fine-tuning job")
def cancel(caller: Writer, state: UsesAppState, job_id: str) -> FineTuningJob:
    with state.database.write() as session:
        return public_job(Jobs(session, caller.tenant).cancel(job_id))


@router.post("/{job_id}/pause", operation_id="fine_tuning_jobs_pause", summary="Pause a fine-tuning job")
def pause(caller: Writer, state: UsesAppState, job_id: str) -> FineTuningJob:
    """Pauses the job until it is resumed, and frees its devices. A running job first saves a checkpoint, and
    is `pausing` until it has. The job's files stay in use, and it keeps its name and its checkpoints."""
    with state.database.write() as session:
        return public_job(Jobs(session, caller.tenant).pause(job_id))


@router.post(
    "/{job_id}/priority", operation_id="fine_tuning_jobs_set_priority", summary="Change a job's priority"
)
def set_priority(body: UpdatePriorityBody, caller: Writer, state: UsesAppState, job_id: str) -> FineTuningJob:
    """Sets the priority of a job that has not ended. The position of a queued job changes accordingly; a
    running job becomes more or less likely to be paused for others."""
    with state.database.write() as session:
        jobs = Jobs(session, caller.tenant)
        jobs.get(job_id)
        check_priority(session, caller.tenant, body.priority, param="priority")
        (job,) = public_jobs(session, [jobs.set_priority(job_id, body.priority)])
    return job


@router.post("/{job_id}/resume", operation_id="fine_tuning_jobs_resume", summary="Resume a fine-tuning job")
def resume(caller: Writer, state: UsesAppState, job_id: str) -> FineTuningJob:
    """Puts a `paused` job back into the queue. It continues from its last checkpoint, with the same losses as
    without the pause."""
    with state.database.write() as session:
        lock_project(session, caller.tenant)
        jobs = Jobs(session, caller.tenant)
        # The job may have been paused before a right was withdrawn.
        check_may_run(session, caller.tenant, jobs.get(job_id))
        resumed = jobs.resume(job_id)
        _quotas(session, caller, state).check_resumed_job()
        (job,) = public_jobs(session, [resumed])
    return job


@router.post(
    "/{job_id}/republish",
    operation_id="fine_tuning_jobs_republish",
    summary="Publish a trained job's model again",
)
def republish(
    caller: Writer, state: UsesAppState, job_id: str, body: RepublishBody | Absent = None
) -> FineTuningJob:
    """Immediately tries to publish the trained weights of a job that failed after training or that is waiting
    for its next attempt. The job is `running` again until its model is published or refused."""
    wanted = body or RepublishBody()
    if wanted.gate == "skip" and not caller.may("admin"):
        raise PermissionDenied("Only a key with the scope 'admin' may skip the publish gate.", param="gate")
    with state.database.write() as session:
        lock_project(session, caller.tenant)
        jobs = Jobs(session, caller.tenant)
        return public_job(jobs.republish(job_id, gate=wanted.gate, regression=wanted.regression))


@router.get(
    "/{job_id}/checkpoints",
    operation_id="fine_tuning_jobs_checkpoints_list",
    summary="List a job's checkpoints",
)
def list_checkpoints(
    caller: Reader,
    state: UsesAppState,
    job_id: str,
    after: Annotated[str | Absent, OrDefault] = None,
    limit: Annotated[int, Query(ge=1), WholeNumber, at_most(1_000)] = 10,
) -> FineTuningJobCheckpointList:
    """Lists checkpoints, newest first. A page has at most 1,000 checkpoints, even if `limit` is greater."""
    with state.database.read() as session:
        page = Checkpoints(session, caller.tenant).page(job_id, after=after, limit=limit)
    data = [public_checkpoint(checkpoint) for checkpoint in page.data]
    return FineTuningJobCheckpointList(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=page.has_more,
    )


def _quotas(session: Session, caller: Principal, state: AppState) -> Quotas:
    return Quotas(session, caller.tenant, caller.key_id, state.settings.project_limits)


def _number(header: str) -> float | None:
    """Parses a number that an SDK sent about itself; None if it is malformed."""
    return float(header) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", header) else None


def _metadata_filter(request: Request) -> dict[str, str] | Literal["null"] | None:
    """Parses `metadata[key]=value`, which no declared parameter can express, or `metadata=null`."""
    pairs: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name == "metadata":
            # openai-python and openai-node encode null differently.
            if value not in ("null", ""):
                raise InvalidRequest("Write 'metadata[key]=value', or 'metadata=null'.", param="metadata")
            return "null"
        if name.startswith("metadata[") and name.endswith("]"):
            pairs[name.removeprefix("metadata[").removesuffix("]")] = value
    if len(pairs) > MAX_PAIRS:
        raise InvalidRequest(f"A job has at most {MAX_PAIRS} pairs of metadata.", param="metadata")
    return pairs or None
