"""Fine-tuning jobs as the service and the cluster share them: status, specification, and the runner's
sync."""

import time
from enum import StrEnum
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field

from cluster.contracts.bases import BaseSpec, WeightsForm
from cluster.contracts.costs import RunCost
from cluster.contracts.evaluation import EvaluationReport
from cluster.contracts.frozen import NonFiniteModel
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.contracts.integrations import TrackerReport, Tracking
from cluster.contracts.provenance import Provenance
from cluster.contracts.weights import WeightsRef


class JobStatus(StrEnum):
    VALIDATING_FILES = "validating_files"
    QUEUED = "queued"
    STARTING = "starting"
    """Internal, shown as queued: an attempt has been submitted, but its runner has not reported yet."""
    RUNNING = "running"
    PUBLISHING = "publishing"
    """Internal, shown as running: the weights are stored, and publishing is tried until it succeeds. Holds no
    training slot."""
    PAUSING = "pausing"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended. Only republishing a trained job leaves such a state: `failed`."""
        return self in _TERMINAL

    @property
    def public(self) -> str:
        """The status that the API shows."""
        shown = {JobStatus.STARTING: JobStatus.QUEUED, JobStatus.PUBLISHING: JobStatus.RUNNING}
        return shown.get(self, self).value


_ENDED = frozenset({JobStatus.FAILED, JobStatus.CANCELLED})
_TERMINAL = _ENDED | {JobStatus.SUCCEEDED}

TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.VALIDATING_FILES: frozenset({JobStatus.QUEUED}) | _ENDED,
    JobStatus.QUEUED: frozenset({JobStatus.STARTING, JobStatus.PAUSED}) | _ENDED,
    JobStatus.STARTING: frozenset({JobStatus.RUNNING, JobStatus.QUEUED, JobStatus.PAUSING}) | _ENDED,
    JobStatus.RUNNING: frozenset({JobStatus.PUBLISHING, JobStatus.QUEUED, JobStatus.PAUSING}) | _ENDED,
    JobStatus.PUBLISHING: frozenset({JobStatus.SUCCEEDED}) | _ENDED,
    JobStatus.PAUSING: frozenset({JobStatus.PAUSED, JobStatus.PUBLISHING, JobStatus.QUEUED}) | _ENDED,
    JobStatus.PAUSED: frozenset({JobStatus.QUEUED}) | _ENDED,
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset({JobStatus.PUBLISHING}),
    JobStatus.CANCELLED: frozenset(),
}
"""The only table of legal transitions; every status update uses it as its guard. A lost attempt returns to
queued. From failed to publishing moves only a job that was trained, at the request of a person."""


Priority = Literal["low", "normal", "high"]
"""A class of jobs. Of those that wait, a higher one comes first, and it may preempt running jobs of a lower
one."""

PRIORITIES: tuple[Priority, ...] = get_args(Priority)
"""The lowest comes first."""

Device = Literal["cpu", "cuda"]
"""A kind of device, in torch's words."""


class Placement(NonFiniteModel):
    """Where the scheduler has placed an attempt."""

    pool: str
    labels: dict[str, str] = {}
    """Ray's labels of the pool's nodes."""
    nodes: dict[str, int] = {}
    """Workers on each of Ray's nodes, by the node's id. Empty: wherever there is room in the pool."""


class JobSpec(NonFiniteModel):
    """What an attempt must do. The scheduler writes it to storage and the runner reads it; it never
    changes."""

    job_id: str
    attempt: int = Field(ge=1)
    """The fence: each attempt of a job has a higher number, and only the highest one is accepted."""
    attempt_token: str
    """Authenticates this attempt's sync calls, and nothing else."""
    service_url: str
    """Root of the API as the cluster reaches it, without `/v1`."""
    device: Device
    """What the workers compute on. There is no fallback: a job for GPUs waits until there are enough."""
    base: BaseSpec
    config: TrainingConfig
    training_key: str
    training_sha256: str
    validation_key: str | None = None
    validation_sha256: str | None = None
    general_key: str | None = None
    general_sha256: str | None = None
    """The general set of the evaluation, if the job's owner provided one."""
    start_from: str | None = None
    """Manifest key of the tuned weights, from another job, that the job continues. None starts from the
    base."""
    resume_from: str | None = None
    """Key of the manifest of this job's own checkpoint to resume from: of its resume state, or of its served
    weights, beside which the resume state is."""
    tracking: Tracking | None = None
    """None for a job without trackers."""
    placement: Placement | None = None
    """None: wherever Ray finds room."""
    traceparent: str | None = None
    """The trace that the attempt continues (W3C Trace Context)."""
    encryption_key: str | None = None
    """The project's key, with which storage encrypts what is written for it. None: it has none."""


def _now() -> int:
    return int(time.time())


class StepMetrics(NonFiniteModel):
    """One optimizer step. Losses are in nats per learned token, and accuracies are shares of those. For
    preferences, the loss is DPO's, and the accuracy is how often the better answer got the larger reward. For
    classification, both are per label."""

    type: Literal["step"] = "step"
    created_at: int = Field(default_factory=_now)
    step: int
    total_steps: int
    train_loss: float
    train_mean_token_accuracy: float
    learning_rate: float
    grad_norm: float
    tokens_per_second: float
    """Tokens trained on per second since the attempt's first step, without padding."""
    eta_seconds: float
    """Until the job's training ends, evaluation and checkpoints included."""
    memory_bytes: int | None = None
    """Peak so far: of the GPU, or the resident memory of the process."""
    mfu: float | None = None
    """Model FLOPs utilisation since the attempt's first step: useful arithmetic as a share of the device's
    peak. None if the peak is unknown."""
    reward_margin: float | None = None
    """DPO: mean reward of the better answers minus that of the others."""
    valid_loss: float | None = None
    """On a few validation examples, different ones each time."""
    valid_mean_token_accuracy: float | None = None
    full_valid_loss: float | None = None
    """On all validation examples, at the end of an epoch."""
    full_valid_mean_token_accuracy: float | None = None
    full_valid_f1: float | None = None
    """Classification: mean F1 of the labels."""


class _WithWeights(NonFiniteModel):
    """A WeightsRef as fields of its own: the names on the wire and in stored rows."""

    manifest_key: str
    manifest_sha256: str
    form: WeightsForm

    @classmethod
    def of(cls, weights: WeightsRef, **fields: Any) -> Self:
        return cls(
            manifest_key=weights.manifest_key, manifest_sha256=weights.digest, form=weights.form, **fields
        )

    @property
    def weights(self) -> WeightsRef:
        return WeightsRef(digest=self.manifest_sha256, manifest_key=self.manifest_key, form=self.form)


class CheckpointSaved(_WithWeights):
    """A checkpoint with weights for serving, whose manifest is in storage."""

    type: Literal["checkpoint"] = "checkpoint"
    created_at: int = Field(default_factory=_now)
    step: int
    metrics: StepMetrics
    provenance: Provenance | None = None
    best_step: int | None = None
    """The step of the checkpoint of the best epoch so far; 0 if there is none, and None if the runner does
    not say."""


class ResumeStateSaved(NonFiniteModel):
    """A state from which the job can go on, whose manifest is in storage. It supersedes the job's earlier
    ones."""

    type: Literal["resume_state"] = "resume_state"
    created_at: int = Field(default_factory=_now)
    step: int
    manifest_key: str
    manifest_sha256: str


class RunnerMessage(NonFiniteModel):
    """A message for the job's owner."""

    type: Literal["message"] = "message"
    created_at: int = Field(default_factory=_now)
    level: Literal["info", "warn", "error"] = "info"
    message: str


class WorkersStarted(NonFiniteModel):
    """The run has the devices that it waited for. Its processes may not be up yet."""

    type: Literal["started"] = "started"
    nodes: dict[str, int] = {}
    """Workers on each of Ray's nodes, by the node's id."""
    created_at: int = Field(default_factory=_now)


RunnerEvent = (
    StepMetrics | CheckpointSaved | ResumeStateSaved | RunnerMessage | TrackerReport | WorkersStarted
)
"""What a run reports. `created_at` is in Unix seconds."""


class _Numbered(NonFiniteModel):
    seq: int = Field(ge=0)
    """The event's place among those of its attempt, from 0."""
    created_at: int


class NumberedStep(_Numbered, StepMetrics):
    pass


class NumberedCheckpoint(_Numbered, CheckpointSaved):
    metrics: NumberedStep


class NumberedResumeState(_Numbered, ResumeStateSaved):
    pass


class NumberedMessage(_Numbered, RunnerMessage):
    pass


class NumberedReport(_Numbered, TrackerReport):
    pass


class NumberedStart(_Numbered, WorkersStarted):
    pass


NumberedEvent = Annotated[
    NumberedStep
    | NumberedCheckpoint
    | NumberedResumeState
    | NumberedMessage
    | NumberedReport
    | NumberedStart,
    Field(discriminator="type"),
]
"""An event as the runner sends it."""


def number_event(event: RunnerEvent, seq: int) -> NumberedEvent:
    match event:
        case StepMetrics():
            return NumberedStep(**dict(event), seq=seq)
        case CheckpointSaved():
            metrics = NumberedStep(**dict(event.metrics), seq=seq)
            return NumberedCheckpoint(**{**dict(event), "metrics": metrics}, seq=seq)
        case ResumeStateSaved():
            return NumberedResumeState(**dict(event), seq=seq)
        case RunnerMessage():
            return NumberedMessage(**dict(event), seq=seq)
        case TrackerReport():
            return NumberedReport(**dict(event), seq=seq)
        case WorkersStarted():
            return NumberedStart(**dict(event), seq=seq)


class Running(NonFiniteModel):
    state: Literal["running"] = "running"


class Finished(_WithWeights):
    """Training is complete. The manifest names the final weights or, with early stopping, the best ones."""

    state: Literal["finished"] = "finished"
    trained_tokens: int
    report: EvaluationReport | None = None
    cost: RunCost | None = None
    """None if an earlier attempt did a part of the run."""


class Failed(NonFiniteModel):
    """The run ended with an error. A user fault, which includes the operator's, is final; anything else may
    be retried."""

    state: Literal["failed"] = "failed"
    code: str
    message: str
    param: str | None = None
    """The parameter of the create request that is to blame."""
    is_user_fault: bool
    pass_tokens: int | None = Field(None, ge=1)
    """The run can go on if its passes have at most as many tokens. None for every other error."""


class Stopped(NonFiniteModel):
    """The runner obeyed a command, and its last checkpoint is saved; or its process was told to end."""

    state: Literal["stopped"] = "stopped"
    reason: str | None = None
    """A sentence that says why, if nobody asked for it. It is no fault of the attempt."""


RunnerState = Annotated[Running | Finished | Failed | Stopped, Field(discriminator="state")]


MAX_SYNC_BYTES = 2**20
"""Bytes of one SyncRequest as JSON."""
MAX_SYNC_EVENTS = 1000


class SyncRequest(NonFiniteModel):
    """The runner's only call: heartbeat, event upload and state. Repeated until it is answered with 200.
    Events are identified by (attempt, seq), so repeating one changes nothing."""

    events: Annotated[list[NumberedEvent], Field(fail_fast=True, max_length=MAX_SYNC_EVENTS)] = []
    state: RunnerState = Running()


Command = Literal["continue", "pause", "cancel"]
"""Pause: save a checkpoint, then stop. Cancel: stop at once."""

WorkerCommand = Literal["continue", "pause", "leave", "cancel"]
"""What a runner tells its workers. Leave: pause, but store no weights for serving: there may be no time."""


class SyncResponse(NonFiniteModel):
    """What the runner must do next. A fenced runner gets a 409 instead, and must exit at once."""

    command: Command = "continue"
