"""Fine-tuning jobs, as their owners see and control them."""

import secrets
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from sqlalchemy import ColumnElement, String, column, exists, func
from sqlalchemy.orm import Session

from cluster.contracts.costs import JobCost
from cluster.contracts.datasets import DatasetFormat
from cluster.contracts.durations import duration
from cluster.contracts.errors import Conflict, InvalidRequest
from cluster.contracts.evaluation import EvaluationReport
from cluster.contracts.hyperparameters import Hyperparameters, Method, TrainingConfig, TrainingOptions
from cluster.contracts.integrations import IntegrationType
from cluster.contracts.jobs import JobStatus, Priority
from cluster.contracts.provenance import Provenance
from cluster.storage.keys import folder_of
from service.audit_types import AuditType
from service.db import tables
from service.db.database import now
from service.db.ids import new_id
from service.db.jobs.faults import RESET_FAULTS
from service.db.jobs.files import GENERAL_FORMATS, FileRequirement, JobFiles, check_files
from service.db.jobs.owned_jobs import get_owned_job, select_owned_jobs
from service.db.jobs.publishing import Publishing, republish
from service.db.maintenance import check_no_maintenance
from service.db.models.names import new_model_name
from service.db.organization.audit_log import record
from service.db.organization.projects import check_active
from service.db.paging import Page, page
from service.db.tenancy import Tenant
from service.db.transitions import (
    HELD_BY_ATTEMPT,
    NewEvent,
    add_events,
    enqueue_notification,
    lock,
    transition,
)


@dataclass(frozen=True, slots=True)
class JobError:
    code: str
    message: str
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    id: str
    tenant: Tenant
    status: JobStatus
    """The internal status. The API shows `public_status`."""
    is_displaced: bool
    """Whether it is pausing or was paused for Tunery's own reasons: it then continues by itself."""
    version: int
    model: str
    """Alias of the base."""
    training_file: str
    validation_file: str | None
    start_from: str | None
    """Manifest key of the tuned weights that the job starts from."""
    suffix: str | None
    seed: int
    method: Method
    hyperparameters: Hyperparameters
    training: TrainingOptions
    config: TrainingConfig | None
    metadata: dict[str, str] | None
    integrations: list[dict[str, Any]] | None
    """Each as `{"type": TYPE, TYPE: options}`."""
    integration_results: dict[IntegrationType, dict[str, str]]
    """`url`, `problem` or `file` of each integration that has one."""
    priority: Priority
    start_by: int | None
    """The job fails if it has not started by then."""
    queued_at: float
    """Start of its waiting time, which determines its place in the queue."""
    retry_at: float | None
    """After a fault, the time before which nothing is retried."""
    output_model: str
    """The tuned model's name, chosen at creation; public as `fine_tuned_model`."""
    result_file: str | None
    trained_tokens: int | None
    progress: dict[str, Any] | None
    """Progress of the newest step: step, total_steps, speed, memory and remaining time."""
    estimated_finish: int | None
    report: EvaluationReport | None
    """Present once training is complete, even if the job fails later."""
    provenance: Provenance | None
    """Present once a checkpoint is stored."""
    cost: JobCost | None
    error: JobError | None
    attempt: int
    publishing: Publishing | None
    """Present once training is complete and the weights are stored."""
    created_at: int
    finished_at: int | None
    resume_state_gone_at: int | None
    """Since when the optimizer state of its checkpoints has not been available."""
    resume_manifest_key: str | None
    """Manifest of the newest resume state, if the job's runners have named one."""
    traceparent: str | None
    """Trace parent of the request that created the job, if it was traced."""

    def has_resume_state_of(self, manifest_key: str) -> bool:
        """Whether the optimizer state of this checkpoint is kept: only the newest step's, except in jobs of
        earlier releases."""
        if self.resume_state_gone_at is not None:
            return False
        newest = self.resume_manifest_key
        return newest is None or folder_of(newest) == folder_of(manifest_key)

    @property
    def public_status(self) -> str:
        """The status that the API shows. OpenAI's clients wait for a job only while they know its status, so
        `pausing` is shown only to an owner who paused it."""
        is_interrupted = self.status is JobStatus.PAUSING and self.is_displaced
        return (JobStatus.RUNNING if is_interrupted else self.status).public

    @property
    def num_workers(self) -> int:
        """Number of training processes. Before the job is planned, as the request says. For an elastic job
        that is not running, the fewest that it needs."""
        if self.config is None:
            return self.training.fewest_workers
        if self.training.is_elastic and self.status not in HELD_BY_ATTEMPT:
            return min(plan.num_workers for plan in self.config.plans)
        return self.config.num_workers

    @property
    def max_workers(self) -> int:
        """`num_workers`, or the maximum of an elastic job."""
        if not self.training.is_elastic:
            return self.num_workers
        if self.config is None:
            return self.training.most_workers
        return max(plan.num_workers for plan in self.config.plans)

    @property
    def next_publish_at(self) -> float | None:
        """Time of the next try to publish, while the job waits for it."""
        return self.retry_at if self.status is JobStatus.PUBLISHING else None

    @property
    def fine_tuned_model(self) -> str | None:
        """The tuned model's name, once the model exists."""
        return self.output_model if self.status is JobStatus.SUCCEEDED else None


@dataclass(frozen=True, slots=True)
class NewJob:
    """A client's validated request. `model` is an alias of the catalogue."""

    model: str
    training_file: str
    validation_file: str | None = None
    formats: tuple[DatasetFormat, ...] = ("chat", "completion")
    """Row formats that the training and the validation file may have."""
    start_from: str | None = None
    """Manifest key of tuned weights of the same base."""
    suffix: str | None = None
    seed: int | None = None
    """None draws one at random."""
    method: Method = "supervised"
    hyperparameters: Hyperparameters = field(default_factory=Hyperparameters)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    metadata: dict[str, str] | None = None
    integrations: list[dict[str, Any]] | None = None
    priority: Priority = "normal"
    start_by: int | None = None
    """Unix seconds. The job fails if it has not started by then."""
    api_key_id: str | None = None
    """The API key that creates it."""
    traceparent: str | None = None
    """Trace parent of the request, if it is traced."""


class Jobs:
    """The jobs of one tenant."""

    def __init__(self, session: Session, tenant: Tenant) -> None:
        self._session = session
        self._tenant = tenant

    def check_files(self, new: NewJob) -> JobFiles:
        """Returns the files that `new` names, and keeps them from being deleted until the transaction ends.
        Raises InvalidRequest, as `create` does."""
        found = check_files(self._session, self._tenant, _required_files(new))
        by_id = {file.id: file for file in found}
        return JobFiles(
            training=by_id[new.training_file],
            validation=by_id[new.validation_file] if new.validation_file else None,
            general=by_id[new.training.general_file] if new.training.general_file else None,
        )

    def create(self, new: NewJob) -> Job:
        """Writes the row with the status `validating_files`, the first events and an outbox entry.

        Raises InvalidRequest, with `param` training_file, validation_file or training.general_file, if that
        file is absent, has another purpose, failed its check or has rows of another format. Raises Conflict
        if the project is archived, and Unavailable (`maintenance`) during maintenance.
        """
        check_no_maintenance(self._session)
        check_active(self._session, self._tenant)
        self.check_files(new)
        at = now(self._session)
        job_id = new_id("ftjob-")
        row = tables.Job(
            id=job_id,
            organization_id=self._tenant.organization_id,
            project_id=self._tenant.project_id,
            status=JobStatus.VALIDATING_FILES.value,
            version=0,
            model=new.model,
            api_key_id=new.api_key_id,
            traceparent=new.traceparent,
            training_file=new.training_file,
            validation_file=new.validation_file,
            general_file=new.training.general_file,
            start_from=new.start_from,
            suffix=new.suffix,
            seed=secrets.randbelow(2**31) if new.seed is None else new.seed,
            method={"type": new.method},
            hyperparameters=new.hyperparameters.model_dump(mode="json"),
            training=new.training.model_dump(mode="json"),
            job_metadata=new.metadata,
            integrations=new.integrations,
            priority=new.priority,
            start_by=new.start_by,
            queued_at=at,
            output_model=new_model_name(self._session, self._tenant, new.model, new.suffix),
            attempt=0,
            next_event_seq=0,
            created_at=int(at),
        )
        self._session.add(row)
        self._session.flush()
        validating = f"Validating training file: {new.training_file}"
        if new.validation_file is not None:
            validating += f" and validation file: {new.validation_file}"
        events = [NewEvent(f"Created fine-tuning job: {job_id}"), NewEvent(validating)]
        add_events(self._session, row, events, at=at)
        enqueue_notification(self._session, row, "fine_tuning.job.created", at=at)
        files = {"training_file": new.training_file, "validation_file": new.validation_file}
        data = {"model": new.model, "method": new.method, **files}
        record(self._session, self._tenant, "fine_tuning.job.created", job_id, data=data)
        return job_of(row)

    def get(self, id: str) -> Job:
        """Raises NotFound."""
        return job_of(get_owned_job(self._session, self._tenant, id))

    def list(
        self,
        *,
        after: str | None = None,
        limit: int = 20,
        metadata: dict[str, str] | Literal["null"] | None = None,
    ) -> Page[Job]:
        """Newest first. `metadata` selects jobs that have at least these pairs; "null" selects jobs without
        metadata, and None all jobs. `after` is the id of the last job seen; raises InvalidRequest if it never
        existed."""
        statement = select_owned_jobs(self._tenant)
        if metadata == "null":
            statement = statement.where(tables.Job.job_metadata.is_(None))
        elif isinstance(metadata, dict):
            for key, value in metadata.items():
                statement = statement.where(self._has_pair(key, value))
        found = page(
            self._session,
            statement,
            key=(tables.Job.created_at, tables.Job.id),
            after=after,
            cursors=select_owned_jobs(self._tenant),
            limit=limit,
        )
        return Page([job_of(row) for row in found.data], found.has_more)

    def cancel(self, id: str) -> Job:
        """Ends the job at once; its runner learns of it at its next sync. Raises NotFound, and Conflict if
        the job has ended."""
        row = self._lock_unended(id, "cancelled")
        self._record("fine_tuning.job.cancelled", id)
        return self._move(row, JobStatus.CANCELLED, "The job has been cancelled")

    def pause(self, id: str) -> Job:
        """Stops the job until it is resumed: at once if it is queued, otherwise after its runner has saved a
        checkpoint at the end of the current step. Changes nothing if the job is pausing or paused already.

        Raises NotFound, and Conflict if the job has ended, is not validated yet, or is being published."""
        row = self._lock_unended(id, "paused")
        match JobStatus(row.status):
            case JobStatus.QUEUED:
                self._record("fine_tuning.job.paused", id)
                return self._move(row, JobStatus.PAUSED, PAUSED, resize_to=None)
            case JobStatus.STARTING | JobStatus.RUNNING:
                self._record("fine_tuning.job.paused", id)
                message = "The job is pausing: it saves a checkpoint first"
                return self._move(row, JobStatus.PAUSING, message, is_displaced=False)
            case JobStatus.PAUSING if row.is_displaced:
                # Otherwise the scheduler would queue it again.
                self._record("fine_tuning.job.paused", id)
                row.is_displaced, row.resize_to = False, None
                message = "The job is pausing at its owner's request, and stays paused"
                add_events(self._session, row, [NewEvent(message)], at=now(self._session))
            case JobStatus.VALIDATING_FILES:
                raise Conflict(f"Job {id} is validating its files; it can be paused once it is queued.")
            case JobStatus.PUBLISHING:
                raise Conflict(f"Job {id} is trained and being published; it can no longer be paused.")
        return job_of(row)

    def set_priority(self, id: str, priority: Priority) -> Job:
        """Changes the priority of a job that has not ended: its place in the queue, or how readily it is
        paused for others. Raises NotFound, and Conflict if the job has ended."""
        row = self._lock_unended(id, "given another priority")
        if row.priority != priority:
            event = NewEvent(f"The priority has been changed from {row.priority} to {priority}")
            row.priority = priority
            self._record("fine_tuning.job.reprioritized", id, changes_requested={"priority": priority})
            add_events(self._session, row, [event], at=now(self._session))
        return job_of(row)

    def resume(self, id: str) -> Job:
        """Puts a paused job back into the queue; it continues from its last checkpoint. Raises NotFound, and
        Conflict if the job is not paused."""
        row = self._lock_unended(id, "resumed")
        status = JobStatus(row.status)
        if status is JobStatus.PAUSING and row.is_displaced:
            raise Conflict(f"Job {id} was not paused by its owner; it continues by itself.")
        if status is JobStatus.PAUSING:
            raise Conflict(f"Job {id} is still pausing; it can be resumed once it is paused.")
        if status is not JobStatus.PAUSED:
            raise Conflict(f"Job {id} is {status.public}, not paused; it cannot be resumed.")
        self._record("fine_tuning.job.resumed", id)
        message = "The job has been resumed, moving job to queued state"
        age = {"queued_at": now(self._session), "held_seconds": 0.0}
        return self._move(row, JobStatus.QUEUED, message, **age, **RESET_FAULTS)

    def republish(
        self,
        id: str,
        *,
        gate: Literal["check", "skip"] = "check",
        regression: Literal["check", "allow"] = "check",
    ) -> Job:
        """Publishes the job's trained weights again, with the operator's full time limit starting now. Skips
        the publish gate, or allows more forgetting than the job's own limit, if asked to.

        Raises NotFound, and Conflict: `not_trained`, `job_ended` if it has succeeded or was cancelled, or
        `weights_deleted`."""
        get_owned_job(self._session, self._tenant, id)
        check_active(self._session, self._tenant)
        row = lock(self._session, id)
        assert row is not None
        row = republish(self._session, row, gate=gate, regression=regression, at=now(self._session))
        changes = {"gate": gate, "regression": regression}
        self._record("fine_tuning.job.republished", id, changes_requested=changes)
        return job_of(row)

    def _lock_unended(self, id: str, wanted: str) -> tables.Job:
        get_owned_job(self._session, self._tenant, id)
        row = lock(self._session, id)
        assert row is not None
        status = JobStatus(row.status)
        if status.is_terminal:
            raise Conflict(f"Job {id} has already {_ENDED[status]}; it cannot be {wanted}.", code="job_ended")
        return row

    def _record(self, type: AuditType, id: str, **details: dict[str, Any]) -> None:
        record(self._session, self._tenant, type, id, **details)

    def _move(self, row: tables.Job, to: JobStatus, message: str, **changes: Any) -> Job:
        at = now(self._session)
        row = transition(self._session, row, to, at=at, **changes)
        add_events(self._session, row, [NewEvent(message)], at=at)
        return job_of(row)

    def _has_pair(self, key: str, value: str) -> ColumnElement[bool]:
        # A JSON path does not work here: in SQLite, it cannot express a quotation mark in a key.
        is_sqlite = self._session.get_bind().dialect.name == "sqlite"
        each = func.json_each if is_sqlite else func.json_each_text
        pairs = each(tables.Job.job_metadata).table_valued(column("key", String), column("value", String))
        return exists().select_from(pairs).where(pairs.c.key == key, pairs.c.value == value)


PAUSED = "The job has been paused"

_ENDED = {
    JobStatus.SUCCEEDED: "succeeded",
    JobStatus.FAILED: "failed",
    JobStatus.CANCELLED: "been cancelled",
}


def check_start_by(start_by: int | None, at: float) -> None:
    """Raises InvalidRequest if `start_by` has passed."""
    if start_by is not None and start_by <= at:
        raise InvalidRequest(
            f"tunery.start_by is {start_by}, and that is {duration(at - start_by)} ago; give a time to come, "
            "in Unix seconds.",
            code="start_by_passed",
            param="tunery.start_by",
        )


def _required_files(new: NewJob) -> list[FileRequirement]:
    wanted = [FileRequirement("training_file", new.training_file, new.formats)]
    if new.validation_file is not None:
        wanted.append(FileRequirement("validation_file", new.validation_file, new.formats))
    if new.training.general_file is not None:
        wanted.append(FileRequirement("training.general_file", new.training.general_file, GENERAL_FORMATS))
    return wanted


def job_of(row: tables.Job) -> Job:
    return Job(
        id=row.id,
        tenant=Tenant(row.organization_id, row.project_id),
        status=JobStatus(row.status),
        is_displaced=row.is_displaced,
        version=row.version,
        model=row.model,
        training_file=row.training_file,
        validation_file=row.validation_file,
        start_from=row.start_from,
        suffix=row.suffix,
        seed=row.seed,
        method=(row.method or {}).get("type", "supervised"),
        hyperparameters=Hyperparameters.model_validate(row.hyperparameters),
        training=TrainingOptions.model_validate(row.training),
        config=None if row.config is None else TrainingConfig.model_validate(row.config),
        metadata=row.job_metadata,
        integrations=row.integrations,
        integration_results=cast(Any, row.integration_results or {}),
        priority=cast(Any, row.priority),
        start_by=row.start_by,
        queued_at=row.queued_at,
        retry_at=row.retry_at,
        output_model=row.output_model,
        result_file=row.result_file,
        trained_tokens=row.trained_tokens,
        progress=row.progress,
        estimated_finish=row.estimated_finish,
        report=None if row.report is None else EvaluationReport.model_validate(row.report),
        provenance=None if row.provenance is None else Provenance.model_validate(row.provenance),
        cost=None if row.cost is None else JobCost.model_validate(row.cost),
        error=None if row.error is None else JobError(**row.error),
        attempt=row.attempt,
        publishing=None if row.publishing is None else Publishing.model_validate(row.publishing),
        created_at=row.created_at,
        finished_at=row.finished_at,
        resume_state_gone_at=row.resume_state_gone_at,
        resume_manifest_key=row.resume_manifest_key,
        traceparent=row.traceparent,
    )
