"""Estimates how long a run takes from what similar runs took. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from statistics import median

from cluster.contracts.hyperparameters import Method, TrainingConfig
from service.db.jobs.past_runs import PastRun

NOISE = 0.15
"""How much two equal runs differ, on either side."""
_NEAREST = 5
_SCORED = 1 / 3
"""The cost of a token that is only scored, relative to one that is trained on: forward without backward."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a run has to do."""

    method: Method
    config: TrainingConfig
    steps: int
    trained_tokens: int
    """Over all epochs."""
    held_out_tokens: int

    @property
    def tokens(self) -> float:
        return _tokens(self.method, self.config, self.trained_tokens, self.held_out_tokens)


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
    """Of the runs that it is based on."""
    memory_bytes: int
    """Their largest peak."""
    based_on: int

    @property
    def total(self) -> Seconds:
        return self.starting + self.training + self.evaluation + self.publishing


def run_time(work: Work, past: Sequence[PastRun]) -> RunTime | None:
    """Based on the past runs most like this one: of the same method, training type and number of workers,
    with about as many tokens a step. None if there is none."""
    near = similar_runs(work.method, work.config, past)
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
    """If a phase takes a·x + b·y seconds with unknown a, b ≥ 0 (as a fixed time a step and a time a token),
    then it lies between the measured time scaled by the ratio of x and by the ratio of y."""
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
    """In tokens that are trained on. DPO scores every example before the first step."""
    scored = held_out * config.n_epochs
    if method == "dpo":
        scored += trained // config.n_epochs + held_out
    return trained + _SCORED * scored
