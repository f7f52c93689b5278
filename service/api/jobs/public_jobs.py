"""Jobs, events and checkpoints as the API shows them."""

from collections.abc import Sequence
from typing import cast

from sqlalchemy.orm import Session

from cluster.contracts.costs import JobCost
from cluster.contracts.hyperparameters import Hyperparameters, Method
from cluster.contracts.jobs import JobStatus
from service.api.jobs.integrations import integration_results, public_integrations
from service.api.jobs.public_evaluation import public_evaluation
from service.api.jobs.public_plans import public_plan, public_workers
from service.api.jobs.public_provenance import public_provenance
from service.api.schemas.jobs import (
    CheckpointMetrics,
    Dpo,
    DpoMethod,
    FineTuningJob,
    FineTuningJobCheckpoint,
    FineTuningJobCost,
    FineTuningJobEvent,
    FineTuningJobStatus,
    JobError,
    JobExtension,
    JobProgress,
    JobPublishing,
    JobQueue,
    PublishFault,
    ResolvedDpoHyperparameters,
    ResolvedHyperparameters,
    Supervised,
    SupervisedMethod,
)
from service.api.schemas.plans import JobWorkers
from service.db.jobs.checkpoints import Checkpoint
from service.db.jobs.events import Event
from service.db.jobs.jobs import Job
from service.db.jobs.publishing import Publishing
from service.db.jobs.queue_places import QueuePlace, queue_places
from service.db.transitions import HELD_BY_ATTEMPT


def public_jobs(session: Session, jobs: Sequence[Job]) -> list[FineTuningJob]:
    """Jobs as the API shows them, with the queue places of those that are queued."""
    places = queue_places(session, jobs)
    return [public_job(job, places.get(job.id)) for job in jobs]


def public_job(job: Job, place: QueuePlace | None = None) -> FineTuningJob:
    return FineTuningJob(
        id=job.id,
        created_at=job.created_at,
        error=JobError(code=job.error.code, message=job.error.message, param=job.error.param)
        if job.error
        else None,
        fine_tuned_model=job.fine_tuned_model,
        finished_at=job.finished_at,
        hyperparameters=public_hyperparameters(job.hyperparameters, job.method),
        model=job.model,
        organization_id=job.tenant.organization_id,
        result_files=[job.result_file] if job.result_file else [],
        status=cast(FineTuningJobStatus, job.public_status),
        trained_tokens=job.trained_tokens,
        training_file=job.training_file,
        validation_file=job.validation_file,
        seed=job.seed,
        estimated_finish=job.estimated_finish,
        integrations=public_integrations(job),
        method=_method(job),
        metadata=job.metadata,
        user_provided_suffix=job.suffix,
        tunery=JobExtension(
            state=job.status.value,
            queue=None if place is None else JobQueue.of(place),
            priority=job.priority,
            start_by=job.start_by,
            progress=_progress(job),
            publishing=None if job.publishing is None else _publishing(job.publishing, job.next_publish_at),
            attempt=job.attempt,
            training=job.training,
            plan=None if job.config is None else public_plan(job.config),
            workers=_workers(job),
            evaluation=public_evaluation(job.report),
            provenance=public_provenance(job.provenance, job.training.from_checkpoint),
            cost=None if job.cost is None else public_cost(job.cost),
            integrations=integration_results(job),
        ),
    )


def _workers(job: Job) -> JobWorkers | None:
    if job.config is None or not job.training.is_elastic:
        return None
    return public_workers(job.config, is_held=job.status in HELD_BY_ATTEMPT)


def _progress(job: Job) -> JobProgress | None:
    """The job's progress, without speed and remaining time while the job is not running."""
    if not job.progress:
        return None
    progress = JobProgress(**job.progress)
    if job.status not in (JobStatus.QUEUED, JobStatus.STARTING, JobStatus.PAUSED):
        return progress
    return progress.model_copy(update={"tokens_per_second": None, "eta_seconds": None})


def _publishing(publishing: Publishing, next_try_at: float | None) -> JobPublishing:
    fault = publishing.fault
    return JobPublishing(
        weights=publishing.weights,
        trained_at=int(publishing.trained_at),
        tries=publishing.tries,
        next_try_at=None if next_try_at is None else int(next_try_at),
        last_fault=None if fault is None else PublishFault(code=fault.code, message=fault.message),
    )


def public_cost(cost: JobCost) -> FineTuningJobCost:
    return FineTuningJobCost(
        device=cost.device,
        seconds=cost.seconds,
        starting_seconds=cost.starting_seconds,
        training_seconds=cost.training_seconds,
        evaluation_seconds=cost.evaluation_seconds,
        publishing_seconds=cost.publishing_seconds,
        memory_bytes=cost.memory_bytes,
    )


def public_hyperparameters(found: Hyperparameters, method: Method) -> ResolvedHyperparameters:
    """The hyperparameters in the format of the method."""
    values = found.model_dump(exclude_none=True)
    return ResolvedDpoHyperparameters(**values) if method == "dpo" else ResolvedHyperparameters(**values)


def _method(job: Job) -> SupervisedMethod | DpoMethod:
    hyperparameters = public_hyperparameters(job.hyperparameters, job.method)
    if isinstance(hyperparameters, ResolvedDpoHyperparameters):
        return DpoMethod(dpo=Dpo(hyperparameters=hyperparameters))
    return SupervisedMethod(supervised=Supervised(hyperparameters=hyperparameters))


def public_event(event: Event) -> FineTuningJobEvent:
    return FineTuningJobEvent(
        id=event.id,
        created_at=event.created_at,
        level=event.level,
        message=event.message,
        type=event.type,
        data=event.data,
    )


def public_checkpoint(checkpoint: Checkpoint) -> FineTuningJobCheckpoint:
    return FineTuningJobCheckpoint(
        id=checkpoint.id,
        created_at=checkpoint.created_at,
        fine_tuning_job_id=checkpoint.job_id,
        fine_tuned_model_checkpoint=checkpoint.model_name,
        step_number=checkpoint.step,
        metrics=CheckpointMetrics(**checkpoint.metrics),
    )
