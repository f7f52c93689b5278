"""Fine-tuning jobs, as their owners see and steer them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy.orm import Session

from cluster.contracts.hyperparameters import Hyperparameters, TrainingConfig, TrainingOptions
from cluster.contracts.jobs import JobStatus
from service.db.paging import Page
from service.db.tenancy import Tenant


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
    """Internal: the API shows `status.public`."""
    version: int
    model: str
    """Alias of the base."""
    training_file: str
    validation_file: str | None
    suffix: str | None
    seed: int
    method: dict[str, Any] | None
    hyperparameters: Hyperparameters
    training: TrainingOptions
    config: TrainingConfig | None
    metadata: dict[str, str] | None
    integrations: list[dict[str, Any]] | None
    output_model: str
    """The tuned model's name, chosen at creation; public as `fine_tuned_model`."""
    result_file: str | None
    trained_tokens: int | None
    progress: dict[str, Any] | None
    """step, total_steps, tokens_per_second and eta_seconds of the newest step."""
    estimated_finish: int | None
    error: JobError | None
    attempt: int
    created_at: int
    finished_at: int | None

    @property
    def fine_tuned_model(self) -> str | None:
        """The tuned model's name once it exists."""
        return self.output_model if self.status is JobStatus.SUCCEEDED else None


@dataclass(frozen=True, slots=True)
class NewJob:
    """What a client asks for, validated; `model` is an alias of the catalogue."""

    model: str
    training_file: str
    validation_file: str | None = None
    suffix: str | None = None
    seed: int | None = None
    """None: drawn at random."""
    method: dict[str, Any] | None = None
    hyperparameters: Hyperparameters = field(default_factory=Hyperparameters)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    metadata: dict[str, str] | None = None
    integrations: list[dict[str, Any]] | None = None
    request_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    id: str
    """`ftevent-…`"""
    job_id: str
    seq: int
    """Per job from 0, without gaps."""
    level: Literal["info", "warn", "error"]
    type: Literal["message", "metrics"]
    message: str
    data: dict[str, Any]
    created_at: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    id: str
    """`ftckpt_…`"""
    job_id: str
    step: int
    model_name: str
    """`<output_model>:ckpt-step-<step>`."""
    manifest_key: str
    manifest_sha256: str
    metrics: dict[str, Any]
    """OpenAI's names: step, train_loss, …, full_valid_mean_token_accuracy; absent when not measured."""
    created_at: int


class Jobs:
    """The jobs of one tenant."""

    def __init__(self, session: Session, tenant: Tenant) -> None:
        self._session = session
        self._tenant = tenant

    def create(self, new: NewJob) -> Job:
        """The row in `validating_files`, its first event and its outbox entry.

        Raises InvalidRequest, with `param` training_file or validation_file, if the file is absent, has another
        purpose or was found broken.
        """
        raise NotImplementedError

    def get(self, id: str) -> Job:
        """Raises NotFound."""
        raise NotImplementedError

    def list(
        self,
        *,
        after: str | None = None,
        limit: int = 20,
        metadata: dict[str, str] | Literal["null"] | None = None,
    ) -> Page[Job]:
        """Newest first. `metadata`: jobs that carry at least these pairs; "null": jobs without any; None: all.
        `after` is the id of the last job seen; InvalidRequest if it never existed."""
        raise NotImplementedError

    def cancel(self, id: str) -> Job:
        """Ends the job at once; its runner is told at its next sync. Raises NotFound, and Conflict if it has ended."""
        raise NotImplementedError

    def events(self, id: str, *, after: str | None = None, limit: int = 20) -> Page[Event]:
        """Newest first; `after` is an event's id. Raises NotFound for the job, InvalidRequest for `after`."""
        raise NotImplementedError

    def events_since(self, id: str, *, seq: int, limit: int = 100) -> Sequence[Event]:
        """Oldest first, those with `Event.seq` > seq: how a stream goes on. Raises NotFound."""
        raise NotImplementedError

    def checkpoints(self, id: str, *, after: str | None = None, limit: int = 10) -> Page[Checkpoint]:
        """Newest first; `after` is a checkpoint's id. Raises NotFound for the job, InvalidRequest for `after`."""
        raise NotImplementedError

    def find_repeat(self, request_sha256: str, *, within_seconds: int) -> Job | None:
        """The newest job that the same request body made so recently."""
        raise NotImplementedError
