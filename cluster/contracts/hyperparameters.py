"""Resolves what a client requests ("auto" or a number) to a concrete training configuration."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from cluster.contracts.bases import BaseSpec, TrainingType
from cluster.contracts.errors import InvalidRequest
from cluster.contracts.frozen import FrozenModel
from cluster.contracts.peft_options import MAX_SCALE, PREFIXES, RATE_FACTORS, check_peft_config
from cluster.contracts.plan import MICROBATCH_TOKENS, ActivationCheckpointing, Footprint, Parallelism, Plan
from cluster.contracts.strict_model import StrictModel

Auto = Literal["auto"]
OnOverlength = Literal["error", "drop", "truncate"]
Method = Literal["supervised", "dpo"]

MAX_RATE_MULTIPLIER = 100.0
"""Maximum multiple of the base model's own learning rate. Far above it nothing is learned, and numbers
overflow."""
DPO_RATE_FACTOR = 0.1
"""Times the supervised learning rate: preference training starts from a model that is already close to its
goal."""
AUTO_BETA = 0.1
"""OpenAI's and TRL's default."""
MAX_WORKERS = 64


class Hyperparameters(FrozenModel):
    """OpenAI's hyperparameters of a method, as requested."""

    batch_size: Auto | int = Field(default="auto")
    """Examples per optimizer step, 1-256."""
    learning_rate_multiplier: Auto | float = Field(default="auto")
    """Times the base model's own rate for this method and training type, in (0, 100]."""
    n_epochs: Auto | int = Field(default="auto")
    """Passes over the training file, 1-50."""
    beta: Auto | float | None = None
    """DPO only: how closely the tuned model is held to its starting point, in (0, 2]; larger is closer."""


class EarlyStopping(StrictModel):
    """Ends training when the validation loss stops falling. The result is the best checkpoint."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    patience: int = Field(default=1, ge=1, le=50)
    """Consecutive epochs without improvement before training ends."""
    min_delta: float = Field(default=0.0, ge=0, le=1000)
    """How many nats the loss must fall to count as an improvement."""


class WorkerRange(StrictModel):
    """An elastic job, which runs with any number of workers from `min` to `max` that divides its work evenly
    and for which devices are free. The batch size does not depend on the number of workers."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    min: int = Field(ge=1, le=MAX_WORKERS)
    """Minimum number of workers."""
    max: int = Field(ge=1, le=MAX_WORKERS)
    """Maximum number of workers."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min is {self.min}, but max is only {self.max}")
        return self

    def __str__(self) -> str:
        return f"from {self.min} to {self.max}"


LayerName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,200}$")]


def _without_nulls(config: Any) -> Any:
    if not isinstance(config, dict):
        return config
    return {name: value for name, value in config.items() if value is not None}


class TrainingOptions(StrictModel):
    """Tunery's `training` extension of the create request: how the weights are adapted."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: TrainingType = "lora"
    """Training type: `lora`; `qlora`, LoRA with the base in 4 bits; `full`, which trains all weights; or
    `peft`, another PEFT method, set by `peft_config`."""
    r: int = Field(default=16, ge=1, le=256)
    """LoRA rank."""
    alpha: float = Field(default=32.0, gt=0, le=MAX_SCALE)
    """LoRA scale: the update is multiplied by alpha / r."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: (
        Literal["all-linear"] | Annotated[list[LayerName], Field(min_length=1, max_length=1000)]
    ) = "all-linear"
    """Layers to adapt, by full name or the end of the name, such as `q_proj`; not the embeddings or the
    head."""
    use_rslora: bool = False
    """Multiplies the update by alpha / sqrt(r) instead of alpha / r (Kalajdzievski, 2023,
    arXiv:2312.03732)."""
    use_dora: bool = False
    """Learns the magnitude of each weight column separately from its direction (Liu et al., 2024,
    arXiv:2402.09353). The tuned model is served merged."""
    peft_config: Annotated[dict[str, Any], BeforeValidator(_without_nulls)] | None = None
    """PEFT configuration for type `peft`, including `peft_type`. Adapters other than plain LoRA are served
    merged, or, for prefix, prompt and P-tuning, as a stored prefix of every prompt."""
    max_seq_length: int | None = Field(default=None, ge=16, le=2**24)
    """Maximum length of an example, or of each answer of a pair, in tokens. The default is the base's context
    length, which is also the maximum. With a smaller value, a job fits into less memory."""
    on_overlength: OnOverlength = "error"
    """What happens to an example that is longer than `max_seq_length`: the job fails, the example is dropped,
    or it is truncated at the end. Dropped and truncated examples are reported in the job's events, with line
    numbers."""
    num_workers: Auto | Annotated[int, Field(ge=1, le=MAX_WORKERS)] | WorkerRange = "auto"
    """Number of training processes, each with its own device. `auto` uses as few as the model needs. A range
    makes the job elastic: it starts with as many as there is room for."""
    parallelism: Literal["auto", "single", "ddp", "fsdp", "hsdp"] = "auto"
    """How several workers hold the model: each has a copy (`ddp`), all share one sharded copy (`fsdp`), or
    the workers of each node share one (`hsdp`). `single` is one worker. `auto` shards full fine-tunes, and
    anything that does not fit into the memory of one device."""
    packing: bool = True
    """Concatenates the examples of a step without padding, if the model's family allows it. Otherwise they
    are padded, and examples of similar length are batched together."""
    activation_checkpointing: Literal["auto", "none", "full", "offload"] = "auto"
    """Recomputes activations in the backward pass to save memory; `offload` also keeps the remaining ones in
    host memory. `auto` does so only if the job would not fit otherwise."""
    optimizer: Literal["adamw", "adamw_8bit"] = "adamw"
    """`adamw_8bit` keeps AdamW's moments in 8 bits (bitsandbytes)."""
    compile: bool = False
    """Compiles the model's layers with torch.compile, which makes the start slower but training on large GPUs
    faster. Requires a C compiler where training runs; Tunery's images have one."""
    from_checkpoint: str | None = None
    """Continues from this tuned model or checkpoint (`ft:…` or `ft:…:ckpt-step-N`) of the same base."""
    restore_optimizer: bool = False
    """With `from_checkpoint`, also restores the optimizer state. The optimizer state of a job's newest step
    is kept until a day after the job has ended, unless this server is configured otherwise."""
    source_job: str | None = None
    """Id of a job to repeat. Settings that the request leaves out (validation file, seed, method,
    hyperparameters and training options) are taken from that job, with its resolved values. On the same
    hardware and software the losses are the same; on CPUs, they are bit-identical."""
    allow_changed_base: bool = False
    """With `source_job`, repeats the job even if the base model's weights have changed since."""
    validation_split: float = Field(default=0.0, ge=0, le=0.5)
    """Fraction of the training file to hold out for validation if there is no validation file; with 0,
    nothing is held out."""
    early_stopping: EarlyStopping | None = None
    """Ends training when the validation loss stops falling. Requires a validation file or
    `validation_split`."""
    general_file: str | None = None
    """Id of a processed file to measure forgetting on, instead of the built-in general set."""
    max_regression: float | None = Field(default=None, ge=-1000, le=1000)
    """The job fails if its loss on the general set has increased by more than this, in nats per token. If
    null, the increase is only measured."""

    @model_validator(mode="after")
    def _peft_config_with_its_type(self) -> Self:
        if (self.peft_config is not None) != (self.type == "peft"):
            raise ValueError("peft_config goes with type 'peft', and type 'peft' needs a peft_config")
        if self.restore_optimizer and self.from_checkpoint is None:
            raise ValueError("restore_optimizer needs from_checkpoint")
        if self.allow_changed_base and self.source_job is None:
            raise ValueError("allow_changed_base needs source_job")
        return self

    @property
    def peft_type(self) -> str | None:
        return None if self.peft_config is None else self.peft_config.get("peft_type")

    @property
    def is_elastic(self) -> bool:
        return isinstance(self.num_workers, WorkerRange)

    @property
    def fewest_workers(self) -> int:
        """As far as the request says."""
        if isinstance(self.num_workers, WorkerRange):
            return self.num_workers.min
        return 1 if self.num_workers == "auto" else self.num_workers

    @property
    def most_workers(self) -> int:
        """As far as the request says."""
        return self.num_workers.max if isinstance(self.num_workers, WorkerRange) else self.fewest_workers


class TrainingConfig(FrozenModel):
    """Everything that the training loop needs to know, concrete and frozen. Stored in each checkpoint's
    manifest. Fields that TrainingOptions also has mean the same here."""

    method: Method = "supervised"
    type: TrainingType
    r: int
    alpha: float
    dropout: float
    target_modules: Literal["all-linear"] | list[str]
    use_rslora: bool = False
    use_dora: bool = False
    peft_config: dict[str, Any] | None = None
    on_overlength: OnOverlength
    num_workers: int
    parallelism: Parallelism = "ddp"
    packing: bool = True
    activation_checkpointing: Auto | ActivationCheckpointing = "auto"
    """"auto" is left if there was nothing to plan with: then a worker resolves it when it has loaded the
    model."""
    optimizer: Literal["adamw", "adamw_8bit"] = "adamw"
    compile: bool = False
    restore_optimizer: bool = False
    validation_split: float = 0.0
    early_stopping: EarlyStopping | None = None
    n_epochs: int
    batch_size: int
    """Examples per optimizer step, over all workers."""
    learning_rate: float
    """Peak rate of AdamW, reached after the warm-up, then decaying linearly to zero."""
    beta: float | None = None
    """Beta of DPO; None for other methods."""
    warmup_ratio: float = 0.05
    """Share of all steps in which the rate rises linearly from zero."""
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    microbatch_tokens: int = MICROBATCH_TOKENS
    """Most tokens in one forward pass, padding included. Larger steps accumulate gradients."""
    max_length: int
    """In tokens: `max_seq_length`, or the base's context length."""
    seed: int
    footprint: Footprint | None = None
    """What the plan expects the run to take. Training does not read it."""
    alternatives: tuple[Plan, ...] = Field(default=(), exclude_if=lambda plans: not plans)
    """Plans for other pools, and of an elastic job for other numbers of workers: the cheapest pool first, and
    in it the most workers. Only a job has them, not an attempt."""

    @property
    def peft_type(self) -> str | None:
        return None if self.peft_config is None else self.peft_config.get("peft_type")

    @property
    def plans(self) -> tuple[Plan, ...]:
        """All plans of the job, its own first."""
        own = {name: value for name, value in dict(self).items() if name in Plan.model_fields}
        return Plan(**own), *self.alternatives

    def plan_in(self, pool: str, num_workers: int | None = None) -> Plan | None:
        """The one of `plans` for the pool and this many workers, or else the first one for the pool; None if
        there is none. A plan without a footprint is for any pool."""
        here = [each for each in self.plans if each.pool_name in (None, pool)]
        return next((each for each in here if each.num_workers == num_workers), here[0] if here else None)

    def placed(self, plan: Plan) -> "TrainingConfig":
        """The configuration of an attempt that runs as one of `plans` says."""
        return self.preferring(plan).model_copy(update={"alternatives": ()})

    def preferring(self, plan: Plan) -> "TrainingConfig":
        """The same with one of `plans` as the job's own, and the others as alternatives."""
        own = {name: value for name, value in dict(plan).items() if name in TrainingConfig.model_fields}
        others = tuple(other for other in self.plans if other != plan)
        return self.model_copy(update={**own, "alternatives": others})

    def trains_like(self, other: "TrainingConfig") -> bool:
        """Whether both differ at most in their plans. Each attempt may have another one: it runs in another
        pool, on another number of workers, or with smaller passes, and its losses are the same up to
        rounding."""
        of_the_plan = {*Plan.model_fields, "alternatives"}
        return self.model_dump(exclude=of_the_plan) == other.model_dump(exclude=of_the_plan)


_NOT_OF_TRAINING = {
    "max_seq_length",
    "num_workers",
    "parallelism",
    "activation_checkpointing",
    "from_checkpoint",
    "source_job",
    "allow_changed_base",
    "general_file",
    "max_regression",
}
"""Options that TrainingConfig lacks, or that are resolved."""


def resolve(
    requested: Hyperparameters,
    options: TrainingOptions,
    base: BaseSpec,
    *,
    n_examples: int,
    seed: int,
    method: Method = "supervised",
    n_tokens: int = 0,
    plan: Plan | None = None,
) -> tuple[Hyperparameters, TrainingConfig]:
    """Turns every "auto" into a number. `n_examples` is the number of examples trained on, without the split,
    `n_tokens` those that they have, 0 if unknown, and `plan` what the planner decided.

    - epochs: 3, as OpenAI published, but up to 25 for few examples and 1 for very many
    - batch size: 0.2 % of the examples (OpenAI's rule for its older models), at least 4 and at most 256, but
      more if that leaves devices without work
    - learning rate: `base_rate` of model, method and training type, times the multiplier, which is 1
    - beta: 0.1
    - workers, parallelism, activation checkpointing and microbatches: the plan's

    Returns the concrete hyperparameters, for the job object, and the configuration, for the trainer. Raises
    InvalidRequest if the base cannot be trained this way."""
    check_options(options, base, method)
    plan = plan or unplanned(options)
    n_epochs = _auto_epochs(n_examples) if requested.n_epochs == "auto" else requested.n_epochs
    batch_size = requested.batch_size
    if batch_size == "auto":
        batch_size = _auto_batch_size(n_examples, n_tokens, plan)
    multiplier = 1.0 if requested.learning_rate_multiplier == "auto" else requested.learning_rate_multiplier
    beta = None
    if method == "dpo":
        beta = AUTO_BETA if requested.beta in (None, "auto") else requested.beta
    concrete = Hyperparameters(
        batch_size=batch_size, learning_rate_multiplier=multiplier, n_epochs=n_epochs, beta=beta
    )
    _check_schedule(options, total_steps=n_epochs * math.ceil(n_examples / batch_size))
    config = TrainingConfig(
        **options.model_dump(exclude=_NOT_OF_TRAINING),
        method=method,
        num_workers=plan.num_workers,
        parallelism=plan.parallelism,
        activation_checkpointing=plan.activation_checkpointing,
        microbatch_tokens=plan.microbatch_tokens,
        n_epochs=n_epochs,
        batch_size=batch_size,
        learning_rate=base_rate(options, base, method) * multiplier,
        beta=beta,
        max_length=max_length(options, base),
        seed=seed,
        footprint=plan.footprint,
    )
    return concrete, config


def _check_schedule(options: TrainingOptions, *, total_steps: int) -> None:
    """AdaLoRA prunes ranks between its first and its last steps."""
    if options.peft_type != "ADALORA" or options.peft_config is None:
        return
    first, last = options.peft_config.get("tinit", 0), options.peft_config.get("tfinal", 0)
    if first + last >= total_steps:
        raise InvalidRequest(
            f"training.peft_config.tinit is {first} and tfinal {last}, but the job has {total_steps} steps; "
            "their sum must be less.",
            param="training.peft_config.tinit",
        )


def held_out_count(n_examples: int, share: float) -> int:
    """Returns how many training examples a `validation_split` of `share` holds out: at least one, unless the
    share is 0."""
    return max(1, round(share * n_examples)) if share else 0


def base_rate(options: TrainingOptions, base: BaseSpec, method: Method) -> float:
    """Returns the learning rate that a multiplier of 1 stands for: the catalogue's for the base and training
    type, a tenth of it for DPO, and ten times it for PEFT methods that learn a few vectors."""
    own_rate = base.learning_rates.get(options.type)
    rate = base.learning_rates["lora"] if own_rate is None else own_rate
    if method == "dpo":
        rate *= DPO_RATE_FACTOR
    return rate * RATE_FACTORS.get(options.peft_type or "", 1.0)


def check_options(options: TrainingOptions, base: BaseSpec, method: Method) -> None:
    """Raises InvalidRequest for a combination that can never run."""
    allowed = set(base.learning_rates)
    if "lora" in allowed:
        allowed |= {"qlora", "peft"}
    if options.type not in allowed:
        raise InvalidRequest(
            f"Model {base.alias} cannot be trained with type '{options.type}'; allowed: "
            f"{', '.join(sorted(allowed))}.",
            param="training.type",
        )
    if options.peft_config is not None:
        check_peft_config(options.peft_config)
    if options.peft_type == "PREFIX_TUNING" and options.activation_checkpointing in ("full", "offload"):
        raise InvalidRequest(
            "PREFIX_TUNING needs the keys and values that activation checkpointing throws away; use "
            "activation_checkpointing 'none'.",
            param="training.activation_checkpointing",
        )
    if max_length(options, base) > base.context_length:
        raise InvalidRequest(
            f"training.max_seq_length is {options.max_seq_length}, but {base.alias} reads only "
            f"{base.context_length} tokens.",
            param="training.max_seq_length",
        )
    _check_virtual_tokens(options, base)
    _check_sharing(options)
    if options.type == "qlora" and options.use_dora:
        raise InvalidRequest(
            "DoRA is served merged, and nothing is merged into a base in 4 bits; use type 'lora'.",
            param="training.use_dora",
        )
    if base.architecture == "encoder":
        _check_encoder(options, base, method)


def max_length(options: TrainingOptions, base: BaseSpec) -> int:
    """Tokens of the longest example."""
    return base.context_length if options.max_seq_length is None else options.max_seq_length


def unplanned(options: TrainingOptions, count: int | None = None) -> Plan:
    """The plan if nothing is known of the base's shape or of the devices: `count` workers, or as many as are
    asked for."""
    count = options.most_workers if count is None else count
    return Plan(
        num_workers=count,
        parallelism=parallelisms(options, count, nodes=1)[0],
        activation_checkpointing=options.activation_checkpointing,
    )


def parallelisms(options: TrainingOptions, num_workers: int, *, nodes: int) -> tuple[Parallelism, ...]:
    """How workers on `nodes` may hold the model, the best first. Several share the weights of a full
    fine-tune, if they can, and replicate those of any other unless they must share them."""
    if num_workers == 1:
        return ("single",)
    if options.parallelism != "auto" and options.parallelism != "single":
        return (options.parallelism,)
    if why_not_sharded(options) is not None:
        return ("ddp",)
    sharded: tuple[Parallelism, ...] = ("fsdp",) if nodes == 1 else ("hsdp", "fsdp")
    return sharded if options.type == "full" else ("ddp", *sharded)


def why_not_sharded(options: TrainingOptions) -> str | None:
    """Why workers cannot share the model, and the option that makes it so; None if they can."""
    what = None
    if options.type == "qlora":
        what = "weights in 4 bits (training.type 'qlora')"
    elif options.type == "peft":
        what = "a model with other adapters than plain LoRA (training.type 'peft')"
    elif options.use_dora:
        what = "a model with other adapters than plain LoRA (training.use_dora)"
    elif options.optimizer == "adamw_8bit":
        what = "moments in 8 bits (training.optimizer 'adamw_8bit')"
    return what and f"workers cannot share {what}"


def _check_virtual_tokens(options: TrainingOptions, base: BaseSpec) -> None:
    count = (options.peft_config or {}).get("num_virtual_tokens", 0)
    if count >= base.context_length:
        raise InvalidRequest(
            f"training.peft_config.num_virtual_tokens is {count}, but {base.alias} reads only "
            f"{base.context_length} tokens in all.",
            param="training.peft_config.num_virtual_tokens",
        )


def _check_sharing(options: TrainingOptions) -> None:
    if options.parallelism == "single" and options.num_workers not in ("auto", 1):
        raise InvalidRequest(
            f"training.num_workers is {options.num_workers}, but training.parallelism 'single' is one.",
            param="training.parallelism",
        )
    is_shared = options.parallelism in ("fsdp", "hsdp") and options.num_workers != 1
    if is_shared and (problem := why_not_sharded(options)) is not None:
        raise InvalidRequest(
            f"training.parallelism is '{options.parallelism}', but {problem}. Use 'ddp' or 'auto'.",
            param="training.parallelism",
        )


def _check_encoder(options: TrainingOptions, base: BaseSpec, method: Method) -> None:
    problem = None
    if method != "supervised":
        problem, param = f"method '{method}'", "method.type"
    elif options.type == "qlora" or options.peft_type in PREFIXES:
        problem, param = f"training type '{options.peft_type or options.type}'", "training.type"
    elif options.max_regression is not None or options.general_file is not None:
        problem = "a general set of text"
        param = "training.max_regression" if options.general_file is None else "training.general_file"
    if problem is not None:
        raise InvalidRequest(f"Model {base.alias} is an encoder, which has no {problem}.", param=param)


def _auto_epochs(n_examples: int) -> int:
    epochs = 3
    if epochs * n_examples < 100:
        return min(25, max(1, 100 // n_examples))
    if epochs * n_examples > 25_000:
        return max(1, 25_000 // n_examples)
    return epochs


def _auto_batch_size(n_examples: int, n_tokens: int, plan: Plan) -> int:
    """Enough examples for every worker and, where the plan wants a step to have so many tokens, for those;
    but the latter leaves ten steps in an epoch."""
    size = max(4, n_examples // 500, plan.num_workers)
    if n_tokens:
        size = max(size, min(math.ceil(plan.step_tokens * n_examples / n_tokens), n_examples // 10))
    return min(size, 256)
