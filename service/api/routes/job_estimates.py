"""`/v1/fine_tuning/jobs/estimate`: what a job would take, before it is created."""

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from service.api.http.auth import Reader
from service.api.http.connection import while_connected
from service.api.http.strict_json import StrictJsonRoute
from service.api.jobs.dry_runs import dry_run
from service.api.jobs.estimates import checked, drawn_seed, estimate, read_server
from service.api.schemas.estimates import FineTuningJobEstimate
from service.api.schemas.jobs import CreateJobBody
from service.api.state import UsesAppState
from service.job_checks import Candidate

router = APIRouter(prefix="/fine_tuning/jobs", tags=["Fine-tuning"], route_class=StrictJsonRoute)


@router.post("/estimate", operation_id="fine_tuning_jobs_estimate", summary="Estimate a fine-tuning job")
async def estimate_job(
    body: CreateJobBody, request: Request, caller: Reader, state: UsesAppState
) -> FineTuningJobEstimate:
    """Checks the body of a create request as creating and validating the job would, with the same errors, and
    stores nothing. Tokens and steps are exact; times are based on runs measured on this server.

    If the cluster is still reading a file after a few seconds, the request is answered with 503 and
    `Retry-After`; send the same request again later to get the result."""
    run = await run_in_threadpool(dry_run, body, caller.tenant, state)
    new = run.new
    candidate = Candidate(
        base=run.base,
        method=new.method,
        hyperparameters=new.hyperparameters,
        training=new.training,
        seed=drawn_seed(body) if new.seed is None else new.seed,
        files=run.files,
        pools=state.settings.training_pools,
        slots=state.settings.most_workers,
        source=run.source,
        encryption_key=run.encryption_key,
    )
    checking = checked(candidate, state.engine, project_id=caller.tenant.project_id)
    job = await while_connected(request, checking)
    project_id, settings = caller.tenant.project_id, state.settings
    server = await run_in_threadpool(
        read_server, state.database, run.base.alias, project_id, state.catalogue, settings
    )
    # Deciding for a long queue takes tens of milliseconds.
    return await run_in_threadpool(
        estimate, candidate, job, server, settings, project_id=project_id, priority=new.priority
    )
