"""Estimates how long a run takes from what similar runs took. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import exp, log
from statistics import median

from cluster.contracts.bases import BaseSpec
from cluster.contracts.devices import ACCELERATOR_LABEL
from cluster.contracts.errors import InvalidRequest
from cluster.contracts.hyperparameters import Method, TrainingConfig, resolve
from cluster.contracts.plan import Plan
from cluster.planning.accelerators import peak_of
from service.db.jobs.jobs import Job
from service.db.jobs.past_runs import FileSize, PastRun
from service.db.scheduler.queue_window import PlannedGang
from service.job_checks import CheckedJob

NOISE = 0.15
"""How much two equal runs differ, in either direction."""
_NEAREST = 5
_BYTES_PER_TOKEN = 4
"""Approximate bytes of a training file per token."""
_SCORED = 1 / 3
"""The cost of a token that is only scored, relative to one that is trained on: forward without backward."""
_FADES = 0.8
"""Weight of a run relative to the next newer one, when speeds are learned from other jobs."""
_UTILISATION = 0.3
"""Assumed share of a GPU's peak, until a job has finished on this server."""
_STARTING_SECONDS = 60.0
"""Assumed until a job has finished on this server."""


@dataclass(frozen=True, slots=True)
class Work:
    """The work of a run."""

    method: Method
    config: TrainingConfig
    steps: int
    trained_tokens: int
    """Over all epochs."""
    held_out_tokens: int
    forward_flops: float | None = None
    """FLOPs of the linear layers per token. None if the base's shape is not known."""

    @property
    def tokens(self) -> float:
        return _tokens(self.method, self.config, self.trained_tokens, self.held_out_tokens)


def work_of(method: Method, job: CheckedJob, config: TrainingConfig) -> Work:
    """The work of a checked job that runs with `config`."""
    found = job.checks[0].found
    per_epoch = found.n_tokens - found.n_held_out_tokens
    validation = sum(check.found.n_tokens for check in job.checks if check.param == "validation_file")
    return Work(
        method,
        config,
        steps=config.n_epochs * -(-(found.n_examples - found.n_held_out) // config.batch_size),
        trained_tokens=config.n_epochs * per_epoch,
        held_out_tokens=found.n_held_out_tokens + validation,
        forward_flops=None if found.shape is None else 2.0 * found.shape.active_weights,
    )


@dataclass(frozen=True, slots=True)
class Seconds:
    low: float
    high: float

    def __add__(self, other: "Seconds") -> "Seconds":
        return Seconds(self.low + other.low, self.high + other.high)


@dataclass(frozen=True, slots=True)
class RunTime:
    starting: Seconds
    training: Seconds
    evaluation: Seconds
    publishing: Seconds
    device: str
    """Device of the runs on which the estimate is based."""
    memory_bytes: int
    """Their largest peak."""
    based_on: int

    @property
    def total(self) -> Seconds:
        return self.starting + self.training + self.evaluation + self.publishing


def run_time(work: Work, past: Sequence[PastRun]) -> RunTime | None:
    """Estimates from the most similar past runs: those of the same method, training type and number of
    workers, with about as many tokens per step. None if there are none."""
    near = similar_runs(work.method, work.config, _on_its_devices(work.config, past))
    near = sorted(near, key=lambda run: abs(_step_size(work.tokens, work.steps) - _step_size_of(run)))
    near = near[:_NEAREST]
    if not near:
        return None
    return RunTime(
        starting=_range([(run.cost.starting_seconds, (1.0,)) for run in near]),
        training=_range([(run.cost.training_seconds, _training_ratios(work, run)) for run in near]),
        evaluation=_range([(run.cost.evaluation_seconds, _evaluation_ratios(work, run)) for run in near]),
        publishing=_range([(run.cost.publishing_seconds, (1.0,)) for run in near]),
        device=near[0].cost.device,
        memory_bytes=max(run.cost.memory_bytes for run in near),
        based_on=len(near),
    )


def held_seconds(
    work: Work, past: Sequence[PastRun], others: Callable[[], Sequence[PastRun]] = tuple
) -> float | None:
    """How long the run is expected to hold its devices, based on runs of its base: similar ones, or otherwise
    all, in proportion to the work. If its base was never trained, based on the FLOP/s of the newest runs of
    all bases, which `others` returns; on a GPU of a known type, this also works without any runs. None if
    nothing is known."""
    time = run_time(work, past)
    if time is not None:
        held = time.starting + time.training + time.evaluation
        return (held.low + held.high) / 2
    if own := _on_its_devices(work.config, past):
        # All runs are of one base, so that a token costs the same.
        alike = [_with_flops(run, 1.0) for run in own]
        return _seconds_at_speed(replace(work, forward_flops=1.0), alike)
    if work.forward_flops is None:
        return None
    found = _on_its_devices(work.config, others())
    return _seconds_at_speed(work, [run for run in found if run.cost.forward_flops])


def _seconds_at_speed(work: Work, past: Sequence[PastRun]) -> float | None:
    """Expected seconds from the FLOP/s per worker in past runs: in those of the same method and training type
    if there are any, with the greatest weight on the newest."""
    assert work.forward_flops is not None
    flops = _flops(work.config, work.forward_flops, work.tokens)
    alike = [run for run in past if (run.method, run.config.type) == (work.method, work.config.type)] or past
    if alike:
        weights = [_FADES**place for place in range(len(alike))]
        logs = [weight * log(_speed(run)) for weight, run in zip(weights, alike, strict=True)]
        speed = exp(sum(logs) / sum(weights))
        starting = median(run.cost.starting_seconds for run in alike)
    elif (peak := peak_of(_accelerator(work.config) or "")) is not None:
        speed, starting = _UTILISATION * peak, _STARTING_SECONDS
    else:
        return None
    return starting + flops / (speed * work.config.num_workers)


def _speed(run: PastRun) -> float:
    """FLOP/s per worker."""
    flops = _flops(run.config, run.cost.forward_flops or 1.0, _tokens_of(run))
    return flops / max(run.cost.training_seconds, 1e-3) / run.config.num_workers


def _flops(config: TrainingConfig, forward: float, tokens: float) -> float:
    """The backward pass costs one forward pass for activations, and another one for trained weights."""
    return (3.0 if config.type == "full" else 2.0) * forward * tokens


def _on_its_devices(config: TrainingConfig, past: Sequence[PastRun]) -> list[PastRun]:
    """Past runs on devices of the same kind, with times scaled to the GPUs of the plan."""
    if config.footprint is None:
        return list(past)
    pool = config.footprint.pool
    here = peak_of(_accelerator(config) or "")
    found = []
    for run in past:
        if (run.cost.device == "cpu") != (pool.kind == "cpu"):
            continue
        there = peak_of(run.cost.device)
        found.append(run if here is None or there is None else _slowed(run, there / here))
    return found


def _accelerator(config: TrainingConfig) -> str | None:
    if config.footprint is None:
        return None
    return config.footprint.pool.selector.get(ACCELERATOR_LABEL)


def _slowed(run: PastRun, ratio: float) -> PastRun:
    cost = run.cost
    seconds = {
        "training_seconds": cost.training_seconds * ratio,
        "evaluation_seconds": cost.evaluation_seconds * ratio,
    }
    return run if ratio == 1.0 else replace(run, cost=cost.model_copy(update=seconds))


def _with_flops(run: PastRun, forward: float) -> PastRun:
    return replace(run, cost=run.cost.model_copy(update={"forward_flops": forward}))


def gangs_of(
    method: Method, job: CheckedJob, past: Sequence[PastRun], others: Callable[[], Sequence[PastRun]] = tuple
) -> list[PlannedGang]:
    """One gang for each pool that the job fits, cheapest first, with the time that `held_seconds` expects."""
    by_pool: dict[str | None, list[Plan]] = {}
    for plan in job.config.plans:
        by_pool.setdefault(plan.pool_name, []).append(plan)
    found = []
    for pool, (largest, *smaller) in by_pool.items():
        work = work_of(method, job, job.config.placed(largest))
        counts = tuple(plan.num_workers for plan in smaller)
        found.append(PlannedGang(pool, largest.num_workers, held_seconds(work, past, others), counts))
    return found


def likely_seconds(
    job: Job, base: BaseSpec | None, file: FileSize | None, past: Sequence[PastRun]
) -> float | None:
    """The same as `held_seconds`, but before the job's files have been compiled: based on the size of its
    training file, if that is known."""
    if base is None or file is None:
        return typical_seconds(job.method, None, past)
    tokens = file.bytes // _BYTES_PER_TOKEN
    try:
        _, config = resolve(
            job.hyperparameters,
            job.training,
            base,
            n_examples=file.n_examples,
            n_tokens=tokens,
            seed=job.seed,
            method=job.method,
        )
    except InvalidRequest:
        # Validation will refuse the job in a moment.
        return 0.0
    steps = config.n_epochs * -(-file.n_examples // config.batch_size)
    return held_seconds(Work(job.method, config, steps, config.n_epochs * tokens, held_out_tokens=0), past)


def similar_runs(method: Method, config: TrainingConfig, past: Sequence[PastRun]) -> list[PastRun]:
    kind = (method, config.type, config.peft_type, config.num_workers)
    return [
        run
        for run in past
        if (run.method, run.config.type, run.config.peft_type, run.config.num_workers) == kind
    ]


def typical_seconds(method: Method, config: TrainingConfig | None, past: Sequence[PastRun]) -> float | None:
    """How long a job of unknown size takes: the median of similar runs, or else of all runs of its base."""
    near = past if config is None else similar_runs(method, config, past) or past
    return median(run.cost.seconds for run in near) if near else None


def _training_ratios(work: Work, run: PastRun) -> tuple[float, float]:
    return work.steps / run.cost.steps, work.tokens / _tokens_of(run)


def _evaluation_ratios(work: Work, run: PastRun) -> tuple[float, float]:
    before = run.cost.held_out_tokens + run.cost.general_tokens
    now = work.held_out_tokens + run.cost.general_tokens
    return 1.0, now / before if before else 1.0


def _range(measured: Sequence[tuple[float, tuple[float, ...]]]) -> Seconds:
    """If a phase takes a·x + b·y seconds with unknown a, b ≥ 0 (for example a fixed time per step and a time
    per token), then it lies between the measured time scaled by the ratio of x and by the ratio of y."""
    low = min(seconds * min(ratios) for seconds, ratios in measured)
    high = max(seconds * max(ratios) for seconds, ratios in measured)
    return Seconds(low * (1 - NOISE), high * (1 + NOISE))


def _step_size(tokens: float, steps: int) -> float:
    return log(max(1.0, tokens / max(1, steps)))


def _step_size_of(run: PastRun) -> float:
    return _step_size(_tokens_of(run), run.cost.steps)


def _tokens_of(run: PastRun) -> float:
    cost = run.cost
    return max(1.0, _tokens(run.method, run.config, cost.trained_tokens, cost.held_out_tokens))


def _tokens(method: Method, config: TrainingConfig, trained: int, held_out: int) -> float:
    """The work in units of trained tokens. DPO scores every example before the first step."""
    scored = held_out * config.n_epochs
    if method == "dpo":
        scored += trained // config.n_epochs + held_out
    return trained + _SCORED * scored
