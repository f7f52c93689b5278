"""Fine-tuning jobs: the create request and the public objects."""

from dataclasses import asdict
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from typing_extensions import TypeAliasType

from cluster.contracts.hyperparameters import MAX_RATE_MULTIPLIER, Hyperparameters, TrainingOptions
from cluster.contracts.jobs import Priority
from service.api.http.validation import cross_field_error
from service.api.schemas.base import Answer, Body, JsonObject, Metadata
from service.api.schemas.evaluation import Evaluation
from service.api.schemas.integrations import (
    IntegrationBody,
    JobIntegration,
    WandbIntegration,
    WandbIntegrationBody,
)
from service.api.schemas.plans import JobPlan, JobWorkers
from service.api.schemas.provenance import ModelProvenance
from service.db.jobs.queue_places import QueuePlace

Auto = TypeAliasType("Auto", Literal["auto"])
"""Chosen by the server."""


class HyperparametersBody(Body):
    """OpenAI's hyperparameters for supervised fine-tuning. "auto" is resolved when the files are
    validated."""

    batch_size: Auto | Annotated[int, Field(ge=1, le=256)] = "auto"
    """Examples per optimizer step."""
    learning_rate_multiplier: Auto | Annotated[float, Field(gt=0, le=MAX_RATE_MULTIPLIER)] = "auto"
    """Multiplies the base model's default learning rate."""
    n_epochs: Auto | Annotated[int, Field(ge=1, le=50)] = "auto"
    """Number of passes over the training file."""

    def to_hyperparameters(self) -> Hyperparameters:
        return Hyperparameters(**self.model_dump())


class DpoHyperparametersBody(HyperparametersBody):
    """OpenAI's hyperparameters for direct preference optimization."""

    beta: Auto | Annotated[float, Field(gt=0, le=2)] = "auto"
    """How closely the tuned model is held to its starting point; larger is closer."""


class SupervisedBody(Body):
    hyperparameters: HyperparametersBody | None = None


class SupervisedMethodBody(Body):
    type: Literal["supervised"]
    supervised: SupervisedBody | None = None

    def hyperparameters(self) -> HyperparametersBody:
        return (self.supervised and self.supervised.hyperparameters) or HyperparametersBody()


class DpoBody(Body):
    hyperparameters: DpoHyperparametersBody | None = None


class DpoMethodBody(Body):
    """Direct preference optimization, which learns from pairs of a preferred and a non-preferred answer."""

    type: Literal["dpo"]
    dpo: DpoBody | None = None

    def hyperparameters(self) -> HyperparametersBody:
        return (self.dpo and self.dpo.hyperparameters) or DpoHyperparametersBody()


class ReinforcementMethodBody(Body):
    """A method of OpenAI's that is not supported. Requests for it are refused."""

    type: Literal["reinforcement"]
    reinforcement: JsonObject | None = None


MethodBody = Annotated[
    SupervisedMethodBody | DpoMethodBody | ReinforcementMethodBody, Field(discriminator="type")
]


class CreateJobExtension(Body):
    integrations: Annotated[list[IntegrationBody], Field(max_length=8)] | None = None
    """Integrations in addition to OpenAI's: MLflow, trackio and files for TensorBoard. At most one of a
    type."""
    priority: Priority = "normal"
    """Jobs of a higher priority start first, and may pause running jobs of a lower priority. `high` must be
    allowed for the project."""
    start_by: Annotated[int, Field(ge=0, le=2**40)] | None = None
    """Time (Unix seconds) by which the job must start; otherwise it fails."""


class CreateJobBody(Body):
    model: str
    """The id of a base model, as listed by `GET /v1/models`, or a tuned model or checkpoint (`ft:…`) to
    continue from, like `training.from_checkpoint`."""
    training_file: str
    """Id of a processed file with the purpose `fine-tune`."""
    validation_file: str | None = None
    suffix: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")] | None = None
    """Becomes part of the tuned model's name."""
    seed: Annotated[int, Field(ge=0, le=2147483647)] | None = None
    """Random seed. Generated if absent, and shown in the job object."""
    hyperparameters: HyperparametersBody | None = Field(default=None, deprecated=True)
    """Use `method.supervised.hyperparameters` instead. Refused for other methods."""
    method: MethodBody | None = None
    metadata: Metadata | None = None
    integrations: Annotated[list[WandbIntegrationBody], Field(max_length=8)] | None = None
    """OpenAI's integrations: a run in Weights & Biases. Use `tunery.integrations` for others."""
    training: TrainingOptions | None = None
    """Tunery's extension: how the weights are adapted. If absent, LoRA with the defaults."""
    tunery: CreateJobExtension | None = None
    """Tunery's other extensions."""

    @model_validator(mode="after")
    def _one_spelling(self) -> Self:
        if self.hyperparameters is None or self.method is None:
            return self
        if not isinstance(self.method, SupervisedMethodBody):
            raise cross_field_error(
                "hyperparameters",
                "Top-level hyperparameters are those of the supervised method; give them in "
                f"method.{self.method.type}.hyperparameters.",
            )
        if self.method.supervised is not None:
            raise cross_field_error(
                "hyperparameters", "Give hyperparameters at the top level or in method.supervised, not both."
            )
        return self

    @model_validator(mode="after")
    def _validation_from_one_place(self) -> Self:
        training = self.training or TrainingOptions()
        if training.validation_split and self.validation_file is not None:
            raise cross_field_error(
                "training.validation_split",
                f"training.validation_split is {training.validation_split:g}, but there is a "
                "validation_file; give one of the two.",
            )
        if training.early_stopping and not training.validation_split and self.validation_file is None:
            raise cross_field_error(
                "training.early_stopping",
                "training.early_stopping needs a validation_file or a training.validation_split.",
            )
        return self


FineTuningJobStatus = TypeAliasType(
    "FineTuningJobStatus",
    Literal["validating_files", "queued", "running", "pausing", "paused", "succeeded", "failed", "cancelled"],
)


class ResolvedHyperparameters(Answer):
    """The requested hyperparameters, with every "auto" resolved once the files are validated."""

    batch_size: Auto | int = "auto"
    learning_rate_multiplier: Auto | float = "auto"
    n_epochs: Auto | int = "auto"


class ResolvedDpoHyperparameters(ResolvedHyperparameters):
    beta: Auto | float = "auto"


class Supervised(Answer):
    hyperparameters: ResolvedHyperparameters


class SupervisedMethod(Answer):
    type: Literal["supervised"] = "supervised"
    supervised: Supervised


class Dpo(Answer):
    hyperparameters: ResolvedDpoHyperparameters


class DpoMethod(Answer):
    type: Literal["dpo"] = "dpo"
    dpo: Dpo


class JobError(Answer):
    code: str
    message: str
    param: str | None = None


class JobProgress(Answer):
    """Progress at the latest step."""

    step: int
    total_steps: int
    tokens_per_second: float | None
    """Null while the job waits or is paused, as is `eta_seconds`."""
    eta_seconds: float | None
    memory_bytes: int | None = None
    """Peak memory of the GPU so far, or resident memory of the training process, in bytes."""
    mfu: float | None = None
    """Model FLOPs utilization: useful arithmetic as a fraction of the device's peak."""


class FineTuningJobCost(Answer):
    """Time and memory that a job used, from the start of its attempt to the published model."""

    device: str
    """`cpu`, or the GPU's name."""
    seconds: float
    """Total seconds: the sum of the phases."""
    starting_seconds: float
    """Starting the processes, reading the data and loading the model."""
    training_seconds: float
    """Seconds of training, including validation and checkpoints."""
    evaluation_seconds: float
    publishing_seconds: float
    memory_bytes: int
    """Peak memory of the GPU, or resident memory of the training process, in bytes."""


class PublishFault(Answer):
    code: str
    message: str


class JobPublishing(Answer):
    """State of publishing. Whatever its outcome, training is complete and the weights are stored."""

    weights: str
    """The checkpoint with the trained weights, which can be downloaded with `GET
    /v1/models/{weights}/weights`."""
    trained_at: int
    tries: int
    """Failed attempts since publishing began or was last requested."""
    next_try_at: int | None
    """When publishing will next be attempted. Null unless the job is waiting for that."""
    last_fault: PublishFault | None
    """Why the last attempt failed. Null if no attempt has failed."""


JobState = TypeAliasType(
    "JobState",
    Literal[
        "validating_files",
        "queued",
        "starting",
        "running",
        "publishing",
        "pausing",
        "paused",
        "succeeded",
        "failed",
        "cancelled",
    ],
)


class RepublishBody(Body):
    gate: Literal["check", "skip"] = "check"
    """`skip` publishes the model even if serving and training disagree on its log-probabilities. Requires a
    key with the `admin` scope."""
    regression: Literal["check", "allow"] = "check"
    """`allow` publishes the model even if it has forgotten more than `training.max_regression` allows."""


QueueReason = TypeAliasType(
    "QueueReason",
    Literal[
        "pool_full",
        "pool_limited",
        "behind_reservation",
        "preempting",
        "project_quota",
        "pool_growing",
        "no_pool",
        "gpu_serving",
        "cluster_unavailable",
        "maintenance",
        "backing_off",
        "pending",
    ],
)
"""Why a job waits: `pool_full`, its devices are taken; `pool_limited`, the operator lets jobs have fewer
devices than it needs; `behind_reservation`, devices are free, but kept for a
job that comes earlier; `preempting`, other jobs are making room; `project_quota`, its project
holds as many devices as it may; `pool_growing`, nodes are being added; `no_pool`, it fits in no pool any
more; `gpu_serving`, models are served on its GPUs; `cluster_unavailable`; `maintenance`, no job starts until
it ends; `backing_off`, after a fault; `pending`, it is new in the queue or far from its head."""


class JobQueue(Answer):
    """A job's place in the queue."""

    position: int
    """Estimated position among the queued jobs of all projects, counted from 1. The order depends on
    priorities, on the projects' past device usage, and on how long jobs have waited."""
    reason: QueueReason
    message: str
    """The reason as a sentence."""
    estimated_start: int | None
    estimated_finish: int | None
    """Estimated finish if no more jobs are created. Null if it cannot be estimated."""
    retry_at: int | None
    """Earliest time of the next start after a fault, which the job's events report. Null if there was no
    fault."""

    @classmethod
    def of(cls, place: QueuePlace) -> Self:
        return cls(**asdict(place))


class UpdatePriorityBody(Body):
    priority: Priority


class JobExtension(Answer):
    """Tunery's additions to OpenAI's job object."""

    state: JobState
    """The detailed status, which adds `starting` (shown as `queued` in `status`) and `publishing` (shown as
    `running`). A job that is being paused, but not by its owner, is `pausing` here and shown as `running`."""
    queue: JobQueue | None
    """Present while the job waits for its devices."""
    priority: Priority
    start_by: int | None
    """The job fails if it has not started by this time (Unix seconds)."""
    progress: JobProgress | None
    publishing: JobPublishing | None
    """Present once training is complete and the weights are stored."""
    attempt: int
    """Number of runs that have been started."""
    training: TrainingOptions
    """The training options, including those that a continued job inherits."""
    plan: JobPlan | None
    """Present once the files are validated."""
    workers: JobWorkers | None
    """Workers of an elastic job, once the files are validated."""
    evaluation: Evaluation | None
    """Present once training has ended, even if the job failed after that."""
    provenance: ModelProvenance | None
    """Present once a checkpoint is stored."""
    cost: FineTuningJobCost | None
    """Present once the job has succeeded, unless it took several attempts."""
    integrations: list[JobIntegration]
    """The integrations requested in `integrations` and `tunery.integrations`, and the state of each."""


class FineTuningJob(Answer):
    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    error: JobError | None
    fine_tuned_model: str | None
    finished_at: int | None
    hyperparameters: ResolvedDpoHyperparameters | ResolvedHyperparameters
    model: str
    organization_id: str
    result_files: list[str]
    status: FineTuningJobStatus
    trained_tokens: int | None
    training_file: str
    validation_file: str | None
    seed: int
    estimated_finish: int | None
    integrations: list[WandbIntegration]
    """The integrations that OpenAI also supports. `tunery.integrations` lists all of them."""
    method: Annotated[SupervisedMethod | DpoMethod, Field(discriminator="type")]
    metadata: Metadata | None
    user_provided_suffix: str | None
    tunery: JobExtension


class FineTuningJobList(Answer):
    object: Literal["list"] = "list"
    data: list[FineTuningJob]
    has_more: bool


class FineTuningJobEvent(Answer):
    id: str
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    type: Literal["message", "metrics"]
    data: JsonObject


class FineTuningJobEventList(Answer):
    object: Literal["list"] = "list"
    data: list[FineTuningJobEvent]
    has_more: bool


class CheckpointMetrics(Answer):
    step: float | None = None
    train_loss: float | None = None
    train_mean_token_accuracy: float | None = None
    valid_loss: float | None = None
    valid_mean_token_accuracy: float | None = None
    full_valid_loss: float | None = None
    full_valid_mean_token_accuracy: float | None = None
    full_valid_f1: float | None = None
    """Classification: mean F1 score over the labels."""
    reward_margin: float | None = None
    """DPO: mean reward of the preferred answers minus that of the non-preferred ones."""


class FineTuningJobCheckpoint(Answer):
    id: str
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int
    fine_tuning_job_id: str
    fine_tuned_model_checkpoint: str
    step_number: int
    metrics: CheckpointMetrics


class FineTuningJobCheckpointList(Answer):
    object: Literal["list"] = "list"
    data: list[FineTuningJobCheckpoint]
    first_id: str | None
    last_id: str | None
    has_more: bool
