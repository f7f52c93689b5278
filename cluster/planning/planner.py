"""Decides how a job runs: on how many devices, how they hold the model, and what each pass computes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from cluster.contracts.bases import BaseSpec
from cluster.contracts.devices import ACCELERATOR_LABEL, Pool
from cluster.contracts.hyperparameters import MAX_WORKERS, Method, TrainingOptions, max_length, unplanned
from cluster.contracts.model_shape import ModelShape
from cluster.contracts.plan import Footprint, Plan
from cluster.planning.accelerators import relative_speed
from cluster.planning.memory import Lengths, Task, Way, footprint
from cluster.planning.ways import ways

USABLE = 0.92
"""Share of a device's or a node's memory that a plan may fill, because allocators leave gaps."""
_STEP_TOKENS = 2048
"""Number of tokens in a step for each GPU. With far fewer, the GPU spends most of the time waiting for its
next kernel."""


@dataclass(frozen=True, slots=True)
class Planned:
    way: Way
    footprint: Footprint

    @property
    def fits(self) -> bool:
        pool = self.footprint.pool
        is_on_host = pool.host_bytes is None or self.footprint.host_bytes <= USABLE * pool.host_bytes
        if pool.device_bytes is None:
            return is_on_host
        return is_on_host and self.footprint.device.total <= USABLE * pool.device_bytes

    @property
    def plan(self) -> Plan:
        way, is_cuda = self.way, self.footprint.pool.kind == "cuda"
        return Plan(
            num_workers=way.num_workers,
            parallelism=way.parallelism,
            activation_checkpointing=way.activation_checkpointing,
            microbatch_tokens=way.microbatch_tokens,
            step_tokens=_STEP_TOKENS * way.num_workers if is_cuda else 0,
            footprint=self.footprint,
        )


def task_of(
    shape: ModelShape,
    base: BaseSpec,
    options: TrainingOptions,
    method: Method,
    lengths: Lengths | None = None,
) -> Task:
    """Makes a task. `lengths` are those of the data, if they are known. Otherwise it is assumed that a
    requested `max_seq_length` is needed, and that the base's full context is not."""
    if lengths is None:
        sequence = options.max_seq_length or 0
        lengths = Lengths((2 if method == "dpo" else 1) * sequence, sequence)
    most = max_length(options, base)
    sequence = min(lengths.sequence, most)
    return Task(shape, base, options, method, Lengths(min(lengths.example, 2 * most), sequence))


def find_plan(
    task: Task | None, options: TrainingOptions, pools: Sequence[Pool], *, slots: int
) -> Plan | None:
    """Returns the cheapest of `find_plans`. None if nothing fits; `refusal` says why."""
    return next(iter(find_plans(task, options, pools, slots=slots)), None)


def find_plans(
    task: Task | None, options: TrainingOptions, pools: Sequence[Pool], *, slots: int
) -> tuple[Plan, ...]:
    """Returns plans for every pool: the first way that fits or, for an elastic job, the first way for each
    number of workers, most workers first. Pools without a way are left out. The cheapest pool comes first,
    and pools with equal costs keep the given order. `slots` is the maximum number of workers at once. Without
    a shape or pools, nothing is known to be too large, and the plans are for any device."""
    if task is None or not pools:
        most = max(options.fewest_workers, min(options.most_workers, slots))
        return tuple(unplanned(options, count) for count in range(most, options.fewest_workers - 1, -1))
    found = [one for pool in pools for one in _first_that_fit(task, pool, slots)]
    return tuple(one.plan for one in sorted(found, key=_relative_cost))


def dividing(plans: Sequence[Plan], batch_size: int) -> tuple[Plan, ...]:
    """Returns the plans of an elastic job, in their order, without those with useless workers. With a step of
    `batch_size` examples, a plan's extra workers are useless if fewer workers of the same pool have as many
    examples on the busiest worker."""

    def is_useful(plan: Plan) -> bool:
        fewer = [
            each
            for each in plans
            if each.pool_name == plan.pool_name and each.num_workers < plan.num_workers <= batch_size
        ]
        share = -(-batch_size // plan.num_workers)
        return all(-(-batch_size // each.num_workers) > share for each in fewer)

    return tuple(plan for plan in plans if plan.num_workers <= batch_size and is_useful(plan))


def planned(task: Task, pool: Pool, *, slots: int = MAX_WORKERS) -> Iterator[Planned]:
    most = min(slots, MAX_WORKERS)
    for way in ways(task.options, pool, most_workers=most):
        yield Planned(way, footprint(task, way, pool))


def _first_that_fit(task: Task, pool: Pool, slots: int) -> Iterable[Planned]:
    fitting = (one for one in planned(task, pool, slots=slots) if one.fits)
    if not task.options.is_elastic:
        return islice(fitting, 1)
    by_count: dict[int, Planned] = {}
    for one in fitting:
        by_count.setdefault(one.way.num_workers, one)
    return by_count.values()


def _relative_cost(one: Planned) -> float:
    """Returns the cost of the job's work, relative to its other plans. The number of workers does not count,
    because they divide the work between them. Nor does recomputing: the operator's order of pools decides
    whether a small device is worth it."""
    pool = one.footprint.pool
    return pool.price / relative_speed(pool.selector.get(ACCELERATOR_LABEL))
