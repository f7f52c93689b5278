"""Publishes a model: writes its row and its result file's row, and ends its job as succeeded."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from cluster.contracts.costs import JobCost
from cluster.contracts.jobs import Finished, JobStatus
from cluster.contracts.parity import Parity
from cluster.contracts.provenance import Provenance
from service.db import tables
from service.db.jobs.publishing import publishing_of
from service.db.transitions import NewEvent, add_events, transition


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A file that is already in storage and now gets its row."""

    id: str
    name: str
    key: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Publication:
    """Everything that becomes public at once."""

    finished: Finished
    provenance: Provenance
    parity: Parity | None
    """None if the gate was skipped."""
    warning: str | None
    """What the job's owner should know about the model, if anything."""
    results: ResultFile
    event_file: ResultFile | None
    """TensorBoard's event file, for a job that requested one."""


def publish(session: Session, job: tables.Job, publication: Publication, *, at: float) -> None:
    """Writes the rows and ends the job. The caller holds the job's lock."""
    session.add(_model_row(job, publication, at))
    session.add(_file_row(job, publication.results, at))
    results = job.integration_results
    if (event_file := publication.event_file) is not None:
        session.add(_file_row(job, event_file, at))
        results = (results or {}) | {"tensorboard": {"file": event_file.id}}
    session.flush()
    cost = _cost(session, job, publication.finished, at)
    job = transition(
        session,
        job,
        JobStatus.SUCCEEDED,
        at=at,
        result_file=publication.results.id,
        integration_results=results,
        provenance=publication.provenance.model_dump(mode="json"),
        cost=None if cost is None else cost.model_dump(mode="json"),
    )
    done = (f"New fine-tuned model created: {job.output_model}", "The job has successfully completed")
    events = [NewEvent(message) for message in done]
    if publication.warning is not None:
        events.insert(0, NewEvent(publication.warning, level="warn"))
    add_events(session, job, events, at=at)


def _cost(session: Session, job: tables.Job, finished: Finished, at: float) -> JobCost | None:
    attempt = session.get_one(tables.Attempt, (job.id, job.attempt))
    if (run := finished.cost) is None or attempt.ended_at is None:
        return None
    before_publishing = attempt.ended_at - attempt.created_at
    return JobCost(
        **run.model_dump(),
        starting_seconds=max(0.0, before_publishing - run.training_seconds - run.evaluation_seconds),
        publishing_seconds=at - publishing_of(job).since,
    )


def _model_row(job: tables.Job, publication: Publication, at: float) -> tables.Model:
    return tables.Model(
        id=job.output_model,
        organization_id=job.organization_id,
        project_id=job.project_id,
        job_id=job.id,
        base=job.model,
        form=publication.finished.form,
        manifest_key=publication.finished.manifest_key,
        manifest_sha256=publication.finished.manifest_sha256,
        parity=None if publication.parity is None else publication.parity.model_dump(mode="json"),
        report=job.report,
        created_at=int(at),
    )


def _file_row(job: tables.Job, file: ResultFile, at: float) -> tables.File:
    return tables.File(
        id=file.id,
        organization_id=job.organization_id,
        project_id=job.project_id,
        filename=file.name,
        purpose="fine-tune-results",
        bytes=file.bytes,
        sha256=file.sha256,
        object_key=file.key,
        status="processed",
        created_at=int(at),
    )
