"""All tables. Times are Unix seconds (UTC) by the database's clock."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from service.audit_chain import NO_ENTRY

_JSON = JSON(none_as_null=True)


class Table(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        dict[str, Any]: _JSON,
        list[Any]: _JSON,
        int: BigInteger,
        float: Float,
        str: String,
    }


def _some(name: str, *columns: str, where: str) -> Index:
    """Index of the rows that satisfy `where`."""
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


def _referring(table: str, column: str, *, rarely: bool = False) -> Index:
    """Index of a column that refers to rows that are deleted: each deletion looks for the referring rows.
    `rarely`: in most rows, the column is null."""
    name = f"ix_{table}_{column}"
    return _some(name, column, where=f"{column} IS NOT NULL") if rarely else Index(name, column)


class Organization(Table):
    __tablename__ = "organizations"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    created_at: Mapped[int]
    audit_entries: Mapped[int] = mapped_column(default=0, server_default="0")
    """Number of entries in its audit log."""
    audit_sha256: Mapped[str] = mapped_column(default=NO_ENTRY, server_default=NO_ENTRY)
    """Hash of the newest entry."""
    retention: Mapped[dict[str, Any] | None]
    """Days by RetentionKind, for projects without days of their own; null keeps the data forever."""


class AuditEntry(Table):
    """Append-only: triggers refuse changes and removals."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("ix_audit_log_resource", "organization_id", "resource_id", "seq"),
        Index("ix_audit_log_project", "organization_id", "project_id", "seq"),
        Index("ix_audit_log_actor", "organization_id", "actor_id", "seq"),
        _some(
            "ix_audit_log_service_account",
            "organization_id",
            "service_account_id",
            "seq",
            where="service_account_id IS NOT NULL",
        ),
        Index("ix_audit_log_type", "organization_id", "type", "seq"),
        Index("ix_audit_log_effective", "organization_id", "effective_at", "seq"),
    )

    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """1, 2, 3, …"""
    id: Mapped[str] = mapped_column(unique=True)
    type: Mapped[str]
    effective_at: Mapped[int]
    project_id: Mapped[str]
    """The project that the change was about."""
    actor_id: Mapped[str | None]
    """Id of the API key. None for what Tunery did by itself."""
    service_account_id: Mapped[str | None]
    resource_id: Mapped[str]
    body: Mapped[str]
    """The entry as JSON, exactly as it was hashed. The other columns only serve to find it."""
    sha256: Mapped[str]


class Project(Table):
    __tablename__ = "projects"

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    name: Mapped[str]
    created_at: Mapped[int]
    archived_at: Mapped[int | None]
    """The keys of an archived project are refused. What it owns is kept."""
    rights: Mapped[dict[str, Any] | None]
    """Models and methods that the project may use; null allows everything."""
    retention: Mapped[dict[str, Any] | None]
    """Days by RetentionKind; null keeps the data forever. If a kind is missing, the organization's term
    applies."""
    encryption_key: Mapped[str | None]
    """Key with which storage encrypts what is written for the project; null leaves the choice to storage."""


class ServiceAccount(Table):
    """A program that uses a project, with any number of keys."""

    __tablename__ = "service_accounts"
    __table_args__ = (Index("ix_service_accounts_project_created", "project_id", "created_at", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str]
    created_at: Mapped[int]
    deleted_at: Mapped[int | None]
    """Set when the account was deleted. Its keys were revoked at the same time."""


class ApiKey(Table):
    __tablename__ = "api_keys"
    __table_args__ = (Index("ix_api_keys_project_created", "project_id", "created_at", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    """The public part of the key, by which its row is found."""
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    """An admin key acts in this project unless a request names another one."""
    service_account_id: Mapped[str | None] = mapped_column(ForeignKey("service_accounts.id"))
    name: Mapped[str]
    secret_sha256: Mapped[str]
    scopes: Mapped[list[Any]]
    """A list of read, write, infer and admin: what the key may do in a project."""
    is_admin_key: Mapped[bool] = mapped_column(server_default=false())
    """Whether it may manage its organization, and act in all of its projects."""
    is_operators: Mapped[bool] = mapped_column(server_default=false())
    """Whether it is an operator's key, set through the environment or the data folder."""
    created_at: Mapped[int]
    expires_at: Mapped[int | None]
    revoked_at: Mapped[int | None]
    replaced_at: Mapped[int | None]
    """When another operator's key replaced it. Null again once this key is set again."""
    last_used_at: Mapped[int | None]
    """Accurate to a minute."""
    issuer: Mapped[str | None] = mapped_column(Text)
    """Identity provider of the tokens that the row stands for: tokens with the subject `name`, in this
    project. Such a row has no secret."""


class File(Table):
    __tablename__ = "files"
    __table_args__ = (
        Index("ix_files_project_created", "project_id", "created_at", "id"),
        Index("ix_files_sha256", "sha256"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    filename: Mapped[str] = mapped_column(Text)
    purpose: Mapped[str]
    bytes: Mapped[int]
    sha256: Mapped[str]
    object_key: Mapped[str]
    status: Mapped[str]
    """uploaded, processed or error."""
    status_details: Mapped[str | None] = mapped_column(Text)
    format: Mapped[str | None]
    """A DatasetFormat. Null until the lines have been read, and for purposes other than fine-tune."""
    n_examples: Mapped[int | None]
    created_at: Mapped[int]
    expires_at: Mapped[int | None]
    deleted_at: Mapped[int | None]
    """A deleted file is absent for clients at once; a sweep frees its storage later."""


class IncomingFile(Table):
    """A file whose bytes are being stored, and which does not have its own row yet."""

    __tablename__ = "incoming_files"

    file_id: Mapped[str] = mapped_column(primary_key=True)
    started_at: Mapped[float]


class Upload(Table):
    """A file that is sent in parts."""

    __tablename__ = "uploads"
    __table_args__ = (
        Index("ix_uploads_status", "status"),
        _referring("uploads", "project_id"),
        _referring("uploads", "file_id", rarely=True),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    filename: Mapped[str] = mapped_column(Text)
    purpose: Mapped[str]
    bytes: Mapped[int]
    """Announced size of the whole file in bytes."""
    expires_after_seconds: Mapped[int | None]
    """The file's lifetime."""
    status: Mapped[str]
    """pending, completed, cancelled or expired."""
    created_at: Mapped[int]
    expires_at: Mapped[int]
    completer: Mapped[str | None]
    """The request that is joining the parts. It serves as the fence."""
    completer_expires_at: Mapped[float | None]
    """When that request counts as dead, unless it renews its claim."""
    part_ids_sha256: Mapped[str | None]
    """Digest of the part ids, in order, with which the upload was completed."""
    file_id: Mapped[str | None] = mapped_column(ForeignKey("files.id"))
    """Set once the upload is completed."""


class UploadPart(Table):
    """A stored part. Its row exists as long as its upload is pending."""

    __tablename__ = "upload_parts"

    id: Mapped[str] = mapped_column(primary_key=True)
    upload_id: Mapped[str] = mapped_column(ForeignKey("uploads.id"), index=True)
    bytes: Mapped[int]
    created_at: Mapped[int]


class Job(Table):
    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_project_created", "project_id", "created_at", "id"),
        Index("ix_jobs_organization_created", "organization_id", "created_at"),
        Index("ix_jobs_key_created", "api_key_id", "created_at"),
        Index("ix_jobs_model_finished", "model", "finished_at"),
        _referring("jobs", "training_file"),
        _referring("jobs", "validation_file", rarely=True),
        _referring("jobs", "general_file", rarely=True),
        # A tick reads the heads of a long queue and no more.
        Index("ix_jobs_queue_heads", "status", "project_id", "priority", "gang_shape", "queued_at", "id"),
        Index("ix_jobs_queue_order", "status", "priority", "queued_at", "id"),
        _some("ix_jobs_start_by", "status", "start_by", where="start_by IS NOT NULL"),
        Index("ix_jobs_organization_trained", "organization_id", "trained_at"),
        Index("ix_jobs_organization_finished", "organization_id", "finished_at"),
        _some("ix_jobs_cost", "finished_at", where="cost IS NOT NULL"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    status: Mapped[str]
    version: Mapped[int] = mapped_column(default=0)
    """Incremented by each transition, which requires the version that it saw."""
    model: Mapped[str]
    """Alias of the base."""
    api_key_id: Mapped[str | None] = mapped_column(ForeignKey("api_keys.id"))
    """The API key that created it."""
    traceparent: Mapped[str | None]
    """Trace parent (W3C Trace Context) of the request that created the job; null if it was not traced."""
    training_file: Mapped[str] = mapped_column(ForeignKey("files.id"))
    validation_file: Mapped[str | None] = mapped_column(ForeignKey("files.id"))
    general_file: Mapped[str | None] = mapped_column(ForeignKey("files.id"))
    """Replaces the built-in general set, on which forgetting is measured."""
    start_from: Mapped[str | None]
    """Manifest key of the tuned weights that the job starts from; null starts from the base."""
    suffix: Mapped[str | None]
    seed: Mapped[int]
    method: Mapped[dict[str, Any] | None]
    """`type` is supervised or dpo. Null means supervised. The hyperparameters have a column of their own."""
    hyperparameters: Mapped[dict[str, Any]]
    """Hyperparameters: as requested, and after validation with every "auto" resolved."""
    training: Mapped[dict[str, Any]]
    """TrainingOptions."""
    config: Mapped[dict[str, Any] | None]
    """TrainingConfig, once it is resolved."""
    job_metadata: Mapped[dict[str, Any] | None] = mapped_column("metadata")
    integrations: Mapped[list[Any] | None]
    """Integrations of the request and of its `tunery` object."""
    integration_results: Mapped[dict[str, Any] | None]
    """Results by type of integration: `url` of the run, `problem`, or `file`."""
    output_model: Mapped[str]
    """The tuned model's name: chosen at creation, and public once the job has succeeded."""
    result_file: Mapped[str | None]
    trained_tokens: Mapped[int | None]
    progress: Mapped[dict[str, Any] | None]
    """Progress of the newest step: step, total_steps, speed, memory and remaining time."""
    estimated_finish: Mapped[int | None]
    report: Mapped[dict[str, Any] | None]
    """EvaluationReport, once training is complete."""
    provenance: Mapped[dict[str, Any] | None]
    """Provenance, once a checkpoint is stored."""
    cost: Mapped[dict[str, Any] | None]
    """JobCost, once the job has succeeded; null if more than one attempt trained it."""
    error: Mapped[dict[str, Any] | None]
    """code, message, param."""
    attempt: Mapped[int] = mapped_column(default=0)
    """Number of the newest attempt. Older attempts are fenced off by it."""
    next_event_seq: Mapped[int] = mapped_column(default=0)
    faults: Mapped[int] = mapped_column(default=0, server_default="0")
    """Number of platform faults since the job's last progress."""
    retry_at: Mapped[float | None]
    """After a fault, or after a try to publish, the time before which the job is not retried. While a step
    waits for something that does not answer, the time of the last try."""
    trained_at: Mapped[int | None]
    """When training was complete. It does not change, however often the model is published."""
    publishing: Mapped[dict[str, Any] | None]
    """Publishing: set from the moment when training was complete and the weights were stored."""
    waiting_since: Mapped[float | None]
    """When the current step first found that something it needs does not answer. Later by the time in which
    its check only waited for its turn."""
    waited_for: Mapped[list[Any] | None]
    """Codes of the dependencies that did not answer. Each has been reported to the job's owner once."""
    priority: Mapped[str] = mapped_column(default="normal", server_default="normal")
    """A Priority."""
    start_by: Mapped[int | None]
    """The job fails if it has not started by then."""
    queued_at: Mapped[float] = mapped_column(default=0.0, server_default="0")
    """Start of its waiting time, which determines its place in the queue: its creation, or the last time when
    its owner resumed it."""
    held_seconds: Mapped[float] = mapped_column(default=0.0, server_default="0")
    """Seconds for which its finished attempts have had devices since `queued_at`: these do not count as
    waiting."""
    gangs: Mapped[list[Any] | None]
    """Once planned: the pools in which it can run, with how many workers and for how long."""
    gang_shape: Mapped[str] = mapped_column(default="", server_default="")
    """Digest of the pools in `gangs` and of the minimum of workers in each. Empty until the job is
    planned."""
    is_displaced: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether the scheduler pauses it to make room for another job: it then goes back to the queue."""
    resize_to: Mapped[int | None]
    """The number of workers with which an elastic job continues after it has saved its state for that; else
    null."""
    displacements: Mapped[int] = mapped_column(default=0, server_default="0")
    """How often the scheduler has paused it."""
    created_at: Mapped[int]
    finished_at: Mapped[int | None]
    resume_state_gone_at: Mapped[int | None]
    """Since when no other job may request the optimizer state of this job's checkpoints."""
    resume_manifest_key: Mapped[str | None]
    """Manifest of the newest resume state; null if no runner has named one."""
    resume_step: Mapped[int] = mapped_column(default=0, server_default="0")
    """The step of that resume state."""
    resume_saved_at: Mapped[float | None]
    """When that resume state was reported."""


class QueuePlace(Table):
    """The place of a queued job, as the leading scheduler last decided. A job without a row is new in the
    queue, or far from its head."""

    __tablename__ = "queue_places"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    position: Mapped[int]
    """Position over all projects, counted from 1."""
    reason: Mapped[str]
    """A WaitReason."""
    message: Mapped[str] = mapped_column(Text)
    starts_at: Mapped[float | None]
    ends_at: Mapped[float | None]
    """Expected times of its start and end. Null if they are not known."""
    told: Mapped[str]
    """The reason given in the job's newest event, and whether its owner has been warned of a late start."""
    told_at: Mapped[float]


class DeviceUse(Table):
    """Decayed device use of a project's ended attempts: use counts half as much after each half-life."""

    __tablename__ = "device_use"

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    device_seconds: Mapped[float]
    at: Mapped[float]
    """The time to which the sum is decayed."""


class IdempotencyKey(Table):
    """A create request and its retries by the client; `service.api.jobs.idempotency` tells calls apart."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        Index("ix_idempotency_keys_expires", "expires_at"),
        _referring("idempotency_keys", "job_id", rarely=True),
    )

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    """The client's key; or the API key and the body, for which only the latest call is kept."""
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    request_sha256: Mapped[str]
    call: Mapped[str]
    """Identifies the call to which all its requests belong."""
    owner: Mapped[str]
    """The request that does the work. It serves as the fence."""
    is_first_seen: Mapped[bool]
    """Whether the call's first request has arrived, or only a retry."""
    began_at: Mapped[float]
    """When the first request that was seen began."""
    claimed_at: Mapped[float]
    answered_at: Mapped[float | None]
    """When a request was last answered with the job."""
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))
    """Null: the work is in progress, or has failed."""
    expires_at: Mapped[float]


class Attempt(Table):
    """One attempt to run a job: a Ray job with the id `submission_id`."""

    __tablename__ = "attempts"
    __table_args__ = (Index("ix_attempts_released", "released_at"), Index("ix_attempts_ended", "ended_at"))

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    submission_id: Mapped[str]
    token_sha256: Mapped[str]
    state: Mapped[str]
    """submitting, submitted, running or ended."""
    resume_from: Mapped[str | None]
    """Manifest key of the checkpoint from which it started."""
    pool: Mapped[str | None]
    """The pool in which the scheduler has placed it. Null if an earlier release placed it."""
    num_workers: Mapped[int | None]
    """Number of devices that it holds. Null for attempts of earlier releases."""
    nodes: Mapped[dict[str, Any] | None]
    """Number of its workers on each of Ray's nodes, once that is known."""
    created_at: Mapped[float]
    started_at: Mapped[float | None]
    """When its workers got their devices. None while it waits for them."""
    heartbeat_at: Mapped[float]
    """Time of the last accepted sync, or of the submission until the first sync."""
    result: Mapped[dict[str, Any] | None]
    """The runner's final state; for a lost attempt, a `failed` state that says so."""
    ended_at: Mapped[float | None]
    released_at: Mapped[float | None]
    """When Ray was found to hold nothing for it any more. Its devices count as held until then."""


class JobEvent(Table):
    __tablename__ = "job_events"
    __table_args__ = (UniqueConstraint("job_id", "attempt", "attempt_seq", name="uq_job_events_attempt_seq"),)

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    """Counts the job's events from 0, without gaps. A stream resumes by it."""
    id: Mapped[str] = mapped_column(unique=True)
    attempt: Mapped[int | None]
    attempt_seq: Mapped[int | None]
    """The runner's own number, which identifies a repeated upload. Null for events of the service itself."""
    level: Mapped[str]
    type: Mapped[str]
    message: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]]
    created_at: Mapped[int]


class Checkpoint(Table):
    __tablename__ = "checkpoints"
    __table_args__ = (
        UniqueConstraint("job_id", "step", name="uq_checkpoints_job_step"),
        Index("ix_checkpoints_manifest_key", "manifest_key"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    step: Mapped[int]
    model_name: Mapped[str] = mapped_column(unique=True)
    """`<output_model>:ckpt-step-<step>`."""
    manifest_key: Mapped[str]
    manifest_sha256: Mapped[str]
    form: Mapped[str]
    """WeightsForm."""
    metrics: Mapped[dict[str, Any]]
    created_at: Mapped[int]


class SupersededFolder(Table):
    """A folder in storage with superseded objects. The scheduler deletes the objects that are no longer
    needed, and then the row."""

    __tablename__ = "superseded_folders"

    folder: Mapped[str] = mapped_column(primary_key=True)
    """Prefix of the objects' keys, ending with a slash."""
    created_at: Mapped[float]


class Model(Table):
    """A published tuned model. Its weights are those of a checkpoint."""

    __tablename__ = "models"
    __table_args__ = (Index("ix_models_manifest_key", "manifest_key"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    """The public name, `ft:…`."""
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"), unique=True)
    """Null for an imported model."""
    import_id: Mapped[str | None] = mapped_column(ForeignKey("model_imports.id"), unique=True)
    """Null for a model that a job produced."""
    base: Mapped[str]
    form: Mapped[str]
    """WeightsForm."""
    manifest_key: Mapped[str]
    manifest_sha256: Mapped[str]
    parity: Mapped[dict[str, Any] | None]
    """Parity: what the publish gate measured. Null for an imported model, and for a model that was published
    without the gate."""
    report: Mapped[dict[str, Any] | None]
    """An EvaluationReport; null if the job had none."""
    created_at: Mapped[int]
    deleted_at: Mapped[int | None]


class ModelImport(Table):
    """An adapter that was trained elsewhere and is to become a model."""

    __tablename__ = "model_imports"
    __table_args__ = (
        Index("ix_model_imports_project_created", "project_id", "created_at", "id"),
        Index("ix_model_imports_status", "status"),
        _referring("model_imports", "config_file"),
        _referring("model_imports", "weights_file"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    status: Mapped[str]
    """validating, succeeded or failed."""
    base: Mapped[str]
    """Alias of the base."""
    config_file: Mapped[str] = mapped_column(ForeignKey("files.id"))
    weights_file: Mapped[str] = mapped_column(ForeignKey("files.id"))
    output_model: Mapped[str]
    """The model's name: chosen at creation, and public once the import has succeeded."""
    training: Mapped[dict[str, Any] | None]
    """TrainingOptions that continue the adapter, set once it has been validated."""
    error: Mapped[dict[str, Any] | None]
    """code, message, param."""
    created_at: Mapped[int]
    faults: Mapped[int] = mapped_column(default=0, server_default="0")
    """Number of platform faults so far."""
    waiting_since: Mapped[float | None]
    """When it was first found that something it needs does not answer."""
    retry_at: Mapped[float | None]
    """After a fault or a wait, the time before which it is not tried again."""
    finished_at: Mapped[int | None]


class ModelExport(Table):
    """Tuned weights in another program's format, finished or in progress."""

    __tablename__ = "model_exports"
    __table_args__ = (
        Index("ix_model_exports_project_created", "project_id", "created_at", "id"),
        Index("ix_model_exports_status", "status"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    """The project that requested it, which may differ from the model's."""
    status: Mapped[str]
    """queued, running, succeeded or failed."""
    model: Mapped[str]
    """The name by which it was requested."""
    base: Mapped[str]
    """Alias of the base."""
    manifest_key: Mapped[str]
    manifest_sha256: Mapped[str]
    """SHA-256 of the manifest of the tuned weights, as in `models` and `checkpoints`. If there is no such row
    any more, the export does not exist either."""
    form: Mapped[str]
    """WeightsForm."""
    format: Mapped[str]
    """ExportFormat."""
    quantization: Mapped[str | None]
    done_bytes: Mapped[int]
    total_bytes: Mapped[int | None]
    """Null until the cluster knows it."""
    export_sha256: Mapped[str | None]
    """SHA-256 of the export's manifest, once the export has succeeded."""
    faults: Mapped[int]
    """Number of platform faults so far."""
    waiting_since: Mapped[float | None]
    """The same as for an import; so is `retry_at`."""
    retry_at: Mapped[float | None]
    error: Mapped[dict[str, Any] | None]
    """code, message, param."""
    created_at: Mapped[int]
    finished_at: Mapped[int | None]
    expires_at: Mapped[int | None]
    deleted_at: Mapped[int | None]


class ModelAliasChange(Table):
    """One change of an alias. The newest one says what the alias names; rows are never changed."""

    __tablename__ = "model_alias_changes"

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Counts the alias's changes from 1."""
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    model: Mapped[str | None]
    """A base, tuned model or checkpoint; null if the alias was deleted."""
    api_key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id"))
    """Id of the key that made the change."""
    created_at: Mapped[int]


class CheckpointPermission(Table):
    """Lets another project of the organization use a model or a checkpoint. Exactly one of the two is set."""

    __tablename__ = "checkpoint_permissions"
    __table_args__ = (
        UniqueConstraint("model_id", "project_id", name="uq_checkpoint_permissions_model_project"),
        UniqueConstraint("checkpoint_id", "project_id", name="uq_checkpoint_permissions_checkpoint_project"),
        Index("ix_checkpoint_permissions_project", "project_id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    model_id: Mapped[str | None] = mapped_column(ForeignKey("models.id"))
    checkpoint_id: Mapped[str | None] = mapped_column(ForeignKey("checkpoints.id", ondelete="CASCADE"))
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    """The project that is allowed to use it."""
    created_at: Mapped[int]


class Usage(Table):
    """A key's usage of a model in a project in one minute or one hour, as counted by one API process. Each
    row is a total, so that writing it again changes nothing. A key's usage is the sum over the processes."""

    __tablename__ = "usage"
    __table_args__ = (
        Index("ix_usage_project_start", "project_id", "seconds", "start"),
        Index("ix_usage_organization_start", "organization_id", "seconds", "start"),
        _some("ix_usage_minutes", "start", where="seconds = 60"),
    )

    api_key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id"), primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    """The model's name in the request."""
    operation: Mapped[str] = mapped_column(primary_key=True)
    """An Operation."""
    start: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Start of the minute or hour, by the API's clock."""
    seconds: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """60 or 3600. Rows of 60 are deleted after some time."""
    writer: Mapped[str] = mapped_column(primary_key=True)
    """The API process that counted the usage."""
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    """Part of the key, because an admin key can use several projects."""
    requests: Mapped[int]
    prompt_tokens: Mapped[int]
    completion_tokens: Mapped[int]


class PastUsage(Table):
    """Usage of a deleted project, by the hour, so that its organization's usage and costs stay correct. It
    names none of the project's keys and models."""

    __tablename__ = "past_usage"
    __table_args__ = (Index("ix_past_usage_organization_start", "organization_id", "start"),)

    project_id: Mapped[str] = mapped_column(primary_key=True)
    operation: Mapped[str] = mapped_column(primary_key=True)
    """An Operation, or fine_tuning."""
    base: Mapped[str] = mapped_column(primary_key=True)
    """Alias of the base: the model itself, or the base from which it was tuned."""
    start: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Start of the hour."""
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    requests: Mapped[int]
    """Number of requests, or of jobs that ended."""
    prompt_tokens: Mapped[int]
    """Number of prompt tokens, or of trained tokens."""
    completion_tokens: Mapped[int]
    device_seconds: Mapped[float]


class Limit(Table):
    """A limit of an organization, a project or an API key. Without a row, the settings' default applies to a
    project, and no limit to the others."""

    __tablename__ = "limits"

    subject_id: Mapped[str] = mapped_column(primary_key=True)
    """Id of the organization, the project or the API key."""
    model: Mapped[str] = mapped_column(primary_key=True)
    """Alias of the base to which it applies. Empty: it applies to each base separately."""
    name: Mapped[str] = mapped_column(primary_key=True)
    """A LimitName."""
    value: Mapped[int]


class RateBucket(Table):
    """The remainder of a limit per minute. It refills steadily, up to the limit."""

    __tablename__ = "rate_buckets"

    id: Mapped[str] = mapped_column(primary_key=True)
    level: Mapped[float]
    """Negative if more was used than expected."""
    filled_at: Mapped[float]
    """When the level was measured."""


class OutboxEntry(Table):
    """A notification to deliver to the outside, written in the transaction of the event that it reports."""

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_delivered", "delivered_at"), _referring("outbox", "project_id"))

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer(), "sqlite"), primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    topic: Mapped[str]
    """fine_tuning.job.created, …succeeded, …failed, …cancelled."""
    payload: Mapped[dict[str, Any]]
    created_at: Mapped[int]
    delivered_at: Mapped[int | None]
    """When deliveries were written for all endpoints that want it."""


class WebhookEndpoint(Table):
    """A URL to which a project's events are sent. One worker at a time serves it: the claim is its lease."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (Index("ix_webhook_endpoints_project_created", "project_id", "created_at", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str]
    url: Mapped[str] = mapped_column(Text)
    event_types: Mapped[list[Any]]
    secret: Mapped[str]
    """`whsec_…`, in plain text because signing needs it. Shown only once."""
    previous_secret: Mapped[str | None]
    previous_secret_until: Mapped[float | None]
    """Until then, deliveries are signed with both secrets."""
    created_at: Mapped[int]
    updated_at: Mapped[int]
    disabled_at: Mapped[int | None]
    disabled_reason: Mapped[str | None] = mapped_column(Text)
    failures: Mapped[int]
    """Number of failed tries since the last success."""
    failing_since: Mapped[float | None]
    held_until: Mapped[float]
    """Nothing is sent before this time, during the pause after a failure."""
    claim: Mapped[str | None]
    """Identifies the worker that serves it, and fences off what other workers record."""
    claimed_until: Mapped[float]


class WebhookDelivery(Table):
    """An event for one endpoint, and the last try to deliver it."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("endpoint_id", "event_id", name="uq_webhook_deliveries_event"),
        Index("ix_webhook_deliveries_due", "status", "next_try_at"),
        Index("ix_webhook_deliveries_created", "endpoint_id", "created_at", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    endpoint_id: Mapped[str] = mapped_column(ForeignKey("webhook_endpoints.id", ondelete="CASCADE"))
    event_id: Mapped[str]
    """`evt_…`, which is sent as `webhook-id` with every try."""
    event_type: Mapped[str]
    body: Mapped[str] = mapped_column(Text)
    """The JSON that is signed and sent."""
    status: Mapped[str]
    """pending, delivered or failed."""
    tries: Mapped[int]
    next_try_at: Mapped[float | None]
    expires_at: Mapped[float]
    """No try is made after this time: the delivery has then failed."""
    created_at: Mapped[int]
    tried_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    status_code: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(Text)
    """Why the last try failed, if there was no response."""
    response: Mapped[str | None] = mapped_column(Text)
    """The start of the last response's body."""


class Maintenance(Table):
    """Contains one row while the installation is in maintenance, and none otherwise."""

    __tablename__ = "maintenance"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Always 1."""
    since: Mapped[int]
    pauses_jobs: Mapped[bool]
    """Whether running jobs save a checkpoint and go back to the queue, instead of finishing."""


class PoolLimit(Table):
    """Maximum number of devices that jobs may hold in a pool. A pool without a row is limited only by its
    size."""

    __tablename__ = "pool_limits"

    pool: Mapped[str] = mapped_column(primary_key=True)
    """The pool's name in the operator's settings."""
    max_devices: Mapped[int]


class PoolView(Table):
    """A pool's nodes, as the leading scheduler last saw them."""

    __tablename__ = "pool_views"

    pool: Mapped[str] = mapped_column(primary_key=True)
    """The pool's name in the operator's settings."""
    nodes: Mapped[list[Any]]
    """A list of PoolNode."""
    seen_at: Mapped[float]


class LegalHold(Table):
    """Protects something from deletion as long as the row exists."""

    __tablename__ = "legal_holds"
    __table_args__ = (
        UniqueConstraint("project_id", "resource_id", name="uq_legal_holds_project_resource"),
        Index("ix_legal_holds_project_created", "project_id", "created_at", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    type: Mapped[str]
    """project, file, job or model."""
    resource_id: Mapped[str]
    reason: Mapped[str] = mapped_column(Text)
    """The reason for the hold, which only administrators can read."""
    api_key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id"))
    """Id of the key that placed the hold."""
    created_at: Mapped[int]


class StoredBytes(Table):
    """The storage used by a project, as counted by the last sweep."""

    __tablename__ = "stored_bytes"

    project_id: Mapped[str] = mapped_column(primary_key=True)
    """Empty for objects that no row knows."""
    kind: Mapped[str] = mapped_column(primary_key=True)
    """Kind of object, such as files or checkpoints."""
    objects: Mapped[int]
    bytes: Mapped[int]
    measured_at: Mapped[int]


class Lease(Table):
    """A lease with at most one holder until `expires_at`. Each new holder increments the epoch."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    epoch: Mapped[int]
    expires_at: Mapped[float]
