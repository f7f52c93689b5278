"""An estimate of a job: the public objects."""

from typing import Literal

from service.api.schemas.base import Answer
from service.api.schemas.jobs import ResolvedDpoHyperparameters, ResolvedHyperparameters
from service.api.schemas.plans import JobPlan, JobWorkers


class EstimatedRow(Answer):
    line: int
    """Line in the training file, counted from 1."""
    tokens: int
    """Tokens of all sequences of the row, after `training.on_overlength` is applied."""


class EstimatedTokens(Answer):
    """Exact token counts, as training will count them."""

    per_epoch: int
    trained: int
    """Tokens over all epochs: the job's `trained_tokens`, unless early stopping ends it sooner."""
    learned_per_epoch: int
    """Tokens that are part of the loss; for an encoder, the labels."""
    held_out: int
    """Tokens in the validation file or the split."""
    longest_rows: list[EstimatedRow]
    """The longest rows, longest first."""


class EstimatedRows(Answer):
    trained: int
    """Examples that each epoch trains on."""
    held_out: int
    truncated: int
    dropped: int
    """Examples of the training file that are too long and, according to `training.on_overlength`, dropped."""


class SecondsRange(Answer):
    low: float
    high: float


class EstimatedTime(Answer):
    """Time estimate, based on earlier runs on this server with the same base, method, training type and
    number of workers."""

    total: SecondsRange
    """Seconds from the start of the job's attempt to the published model; the sum of the phases."""
    starting: SecondsRange
    training: SecondsRange
    evaluation: SecondsRange
    publishing: SecondsRange
    device: str
    """Device of the runs that this estimate is based on: `cpu`, or the GPU's name."""
    based_on: int
    """The number of runs."""


class EstimatedQueue(Answer):
    """Estimated wait until the job starts, computed with the scheduler's own policy from the jobs that exist
    now."""

    jobs_ahead: int
    """Jobs that hold devices, and jobs that are expected to start earlier."""
    seconds: float | None
    """Seconds until the job starts. Null if it cannot be estimated; `unknown` says why."""


class EstimatedPrice(Answer):
    low: float
    high: float
    currency: str


class FineTuningJobEstimate(Answer):
    object: Literal["fine_tuning.job.estimate"] = "fine_tuning.job.estimate"
    model: str
    """The base model."""
    seed: int
    """Pass it to the create request to hold out the same examples. If the request has no seed, it is derived
    from the body, so the same body gives the same seed."""
    hyperparameters: ResolvedDpoHyperparameters | ResolvedHyperparameters
    """The hyperparameters, with every "auto" resolved."""
    steps: int
    rows: EstimatedRows
    tokens: EstimatedTokens
    time: EstimatedTime | None
    plan: JobPlan
    """How the job would run, and the memory that it is expected to use. For an elastic job, the estimate
    assumes that it has all of its workers, and starts once there are enough of them."""
    workers: JobWorkers | None
    """Workers of an elastic job."""
    measured_memory_bytes: int | None
    """The highest peak memory of the runs that `time` is based on, in bytes."""
    queue: EstimatedQueue
    price: EstimatedPrice | None
    """Estimated price at the operator's rates."""
    unknown: dict[str, str]
    """Why parts of the estimate are null, by field name."""
    warnings: list[str]
    """Warnings for the job's owner, as they would appear in the job's events."""
