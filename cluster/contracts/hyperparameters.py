"""From what a client asks ("auto" or a number) to one concrete training configuration."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from cluster.contracts.bases import BaseSpec, TrainingType
from cluster.contracts.errors import InvalidRequest

Auto = Literal["auto"]
OnOverlength = Literal["error", "drop", "truncate"]


class Hyperparameters(BaseModel):
    """OpenAI's supervised hyperparameters, as asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_size: Auto | int = Field(default="auto")
    """Examples per optimizer step, 1-256."""
    learning_rate_multiplier: Auto | float = Field(default="auto")
    """Times the base model's own rate for this training type, > 0."""
    n_epochs: Auto | int = Field(default="auto")
    """Passes over the training file, 1-50."""


class TrainingOptions(BaseModel):
    """Tunery's `training` extension of the create request: how the weights are adapted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: TrainingType = "lora"
    r: int = Field(default=16, ge=1, le=256)
    """LoRA rank."""
    alpha: float = Field(default=32.0, gt=0)
    """LoRA scale: the update is multiplied by alpha / r."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: Literal["all-linear"] | list[str] = "all-linear"
    on_overlength: OnOverlength = "error"
    """What happens to an example longer than the base's context: the job fails, or the example is left out,
    or cut at the end; the last two are told in the job's events with line numbers."""
    num_workers: int = Field(default=1, ge=1, le=64)
    """Data-parallel training processes."""


class TrainingConfig(BaseModel):
    """Everything the training loop needs to know, concrete and frozen. Stored in each checkpoint's
    manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: TrainingType
    r: int
    alpha: float
    dropout: float
    target_modules: Literal["all-linear"] | list[str]
    on_overlength: OnOverlength
    num_workers: int
    n_epochs: int
    batch_size: int
    """Examples per optimizer step, over all workers."""
    learning_rate: float
    """Peak rate of AdamW, reached after the warm-up, decaying linearly to zero."""
    warmup_ratio: float = 0.05
    """Share of all steps in which the rate rises linearly from zero."""
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    microbatch_tokens: int = 8192
    """Padded tokens of one forward pass; a step of more is accumulated."""
    max_length: int
    """Tokens of one example, the base's context length."""
    seed: int


def resolve(
    asked: Hyperparameters, options: TrainingOptions, base: BaseSpec, *, n_examples: int, seed: int
) -> tuple[Hyperparameters, TrainingConfig]:
    """Turns every "auto" into a number.

    Epochs follow OpenAI's published recipe. The batch is 0.2 % of the examples (OpenAI's rule for its older
    models), at least 4 and at most 256. Returns the concrete hyperparameters, for the job object, and the
    configuration, for the trainer. Raises InvalidRequest if the base cannot be trained this way.
    """
    if options.type not in base.learning_rates:
        allowed = ", ".join(sorted(base.learning_rates))
        raise InvalidRequest(
            f"Model {base.alias} cannot be trained with type '{options.type}'; allowed: {allowed}.",
            param="training.type",
        )
    n_epochs = _auto_epochs(n_examples) if asked.n_epochs == "auto" else asked.n_epochs
    batch_size = min(max(4, n_examples // 500), 256) if asked.batch_size == "auto" else asked.batch_size
    multiplier = 1.0 if asked.learning_rate_multiplier == "auto" else asked.learning_rate_multiplier
    concrete = Hyperparameters(batch_size=batch_size, learning_rate_multiplier=multiplier, n_epochs=n_epochs)
    config = TrainingConfig(
        **options.model_dump(),
        n_epochs=n_epochs,
        batch_size=batch_size,
        learning_rate=base.learning_rates[options.type] * multiplier,
        max_length=base.context_length,
        seed=seed,
    )
    return concrete, config


def _auto_epochs(n_examples: int) -> int:
    epochs = 3
    if epochs * n_examples < 100:
        return min(25, max(1, 100 // n_examples))
    if epochs * n_examples > 25_000:
        return max(1, 25_000 // n_examples)
    return epochs
