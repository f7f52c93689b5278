"""Takes a job from `validating_files` to `queued`: compiles the files for the base model, and replaces every
"auto" by a number."""

from collections.abc import Mapping, Sequence

from cluster.contracts.bases import BaseSpec
from cluster.contracts.devices import Pool
from cluster.contracts.errors import InvalidConfiguration
from service.db.jobs.jobs import Job
from service.db.scheduler.store import SchedulerStore
from service.job_checks import Candidate, CheckedJob, JobCheck, check_job
from service.run_times import gangs_of
from service.scheduling.interfaces import ServingClient


def validate(
    job: Job,
    jobs: SchedulerStore,
    serving: ServingClient,
    bases: Mapping[str, BaseSpec],
    *,
    pools: Sequence[Pool],
    slots: int,
) -> None:
    """Moves the job to the queue. Raises Unavailable or Overloaded if the call should be retried later, and
    InvalidDataset, InvalidRequest or InvalidConfiguration if the job can never run."""
    base = base_of(job, bases)
    source = None if job.training.source_job is None else jobs.job(job.training.source_job)
    candidate = Candidate(
        base=base,
        method=job.method,
        hyperparameters=job.hyperparameters,
        training=job.training,
        seed=job.seed,
        files=jobs.files(job),
        pools=pools,
        slots=slots,
        source=source if source is not None and source.model == job.model else None,
        encryption_key=jobs.encryption_key(job),
    )
    checked = _run(check_job(candidate), serving, job.tenant.project_id)
    gangs = gangs_of(job.method, checked, jobs.past_runs(job.model), jobs.past_runs)
    jobs.mark_validated(job, checked.hyperparameters, checked.config, checked.checks, gangs)


def base_of(job: Job, bases: Mapping[str, BaseSpec]) -> BaseSpec:
    """The job's base model. Raises InvalidConfiguration if it is no longer in the catalogue."""
    base = bases.get(job.model)
    if base is None:
        raise InvalidConfiguration(f"The base model '{job.model}' is no longer in the catalogue.")
    return base


def _run(check: JobCheck, serving: ServingClient, project_id: str) -> CheckedJob:
    try:
        request = next(check)
        while True:
            request = check.send(serving.check_dataset(request, project_id=project_id))
    except StopIteration as end:
        result: CheckedJob = end.value
        return result
