"""Decides how a job runs: on how many devices, how they hold the model, and what each pass computes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cluster.contracts.bases import BaseSpec
from cluster.contracts.devices import Pool
from cluster.contracts.hyperparameters import MAX_WORKERS, Method, TrainingOptions, max_length, unplanned
from cluster.contracts.model_shape import ModelShape
from cluster.contracts.plan import Footprint, Plan
from cluster.planning.memory import Lengths, Task, Way, footprint
from cluster.planning.ways import ways

USABLE = 0.92
"""Share of a device's or a node's memory that a plan may fill: allocators leave gaps."""
_STEP_TOKENS = 2048
"""Tokens of a step for each GPU: with far fewer, it waits for its next kernel most of the time."""


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
    """`lengths` are those of the data, if they are known. Otherwise a `max_seq_length` that the request names
    is expected to be needed, and the base's context is not."""
    if lengths is None:
        sequence = options.max_seq_length or 0
        lengths = Lengths((2 if method == "dpo" else 1) * sequence, sequence)
    most = max_length(options, base)
    sequence = min(lengths.sequence, most)
    return Task(shape, base, options, method, Lengths(min(lengths.example, 2 * most), sequence))


def find_plan(
    task: Task | None, options: TrainingOptions, pools: Sequence[Pool], *, slots: int
) -> Plan | None:
    """The first way that fits, in the first pool that has one. `slots` is the most workers at once. None if
    nothing fits; `refusal` says why. Without a shape or pools, nothing is known to be too large."""
    if task is None or not pools:
        return unplanned(options)
    fitting = (one for pool in pools for one in planned(task, pool, slots=slots) if one.fits)
    found = next(fitting, None)
    return None if found is None else found.plan


def planned(task: Task, pool: Pool, *, slots: int = MAX_WORKERS) -> Iterator[Planned]:
    most = min(slots, MAX_WORKERS)
    for way in ways(task.options, pool, most_workers=most):
        yield Planned(way, footprint(task, way, pool))
