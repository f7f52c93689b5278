"""Evaluates a create request in the same way for a real job and for a dry run."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from cluster.contracts.bases import BaseSpec
from service.api.jobs.from_checkpoint import find_source
from service.api.jobs.new_jobs import new_job
from service.api.jobs.replays import completed
from service.api.schemas.jobs import CreateJobBody
from service.api.state import AppState
from service.db.database import now
from service.db.jobs.files import JobFiles
from service.db.jobs.jobs import Job, Jobs, NewJob, check_start_by
from service.db.limits.devices import check_devices
from service.db.limits.priorities import check_priority
from service.db.organization.projects import Projects, encryption_key_of
from service.db.tenancy import Tenant


def prepare(body: CreateJobBody, session: Session, tenant: Tenant, state: AppState) -> NewJob:
    """Raises InvalidRequest and the errors of `check_may_run`, which name the parameter, and Unavailable if
    the base model is unavailable."""
    body = completed(body, session, tenant)
    source = find_source(body, session, tenant, state.catalogue)
    new = new_job(body, source, state.catalogue, state.settings, state.availability.shape)
    check_may_run(session, tenant, new)
    check_start_by(new.start_by, now(session))
    state.availability.check(new.model)
    return new


def check_may_run(session: Session, tenant: Tenant, job: NewJob | Job) -> None:
    """Raises PermissionDenied (`not_permitted`, `priority_not_allowed`, `max_devices_exceeded`)."""
    rights = Projects(session, tenant.organization_id).rights(tenant.project_id)
    rights.check_training(job.model, job.method, job.training.type)
    check_priority(session, tenant, job.priority)
    check_devices(session, tenant, job.training.fewest_workers)


@dataclass(frozen=True, slots=True)
class DryRun:
    """A job that could be created."""

    new: NewJob
    base: BaseSpec
    files: JobFiles
    source: Job | None
    """The job of the same base that this one repeats."""
    encryption_key: str | None
    """The project's encryption key."""


def dry_run(body: CreateJobBody, tenant: Tenant, state: AppState) -> DryRun:
    """Checks a create request and stores nothing. Raises what creating the job would raise."""
    # A write transaction, because it locks the rows that it checks, as creating the job does.
    with state.database.write() as session:
        new = prepare(body, session, tenant, state)
        jobs = Jobs(session, tenant)
        files = jobs.check_files(new)
        source = jobs.get(new.training.source_job) if new.training.source_job else None
        encryption_key = encryption_key_of(session, tenant.project_id)
    return DryRun(
        new,
        state.catalogue[new.model],
        files,
        source if source is not None and source.model == new.model else None,
        encryption_key,
    )
