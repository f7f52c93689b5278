"""Explains in numbers why a job does not fit, and what would fit."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from cluster.contracts.devices import Pool
from cluster.contracts.errors import InvalidRequest
from cluster.contracts.hyperparameters import MAX_WORKERS, why_not_sharded
from cluster.contracts.plan import Plan
from cluster.planning.memory import Lengths, Task
from cluster.planning.planner import USABLE, Planned, find_plan, find_plans, planned
from cluster.planning.wording import need, size

_SHORTEST = 256
"""A shorter `max_seq_length` is not proposed."""


def plan_or_refuse(task: Task | None, options: Any, pools: Sequence[Pool], *, slots: int) -> Plan:
    """Returns `find_plan`. Raises InvalidRequest (`insufficient_memory`) if nothing fits."""
    return plans_or_refuse(task, options, pools, slots=slots)[0]


def plans_or_refuse(
    task: Task | None, options: Any, pools: Sequence[Pool], *, slots: int
) -> tuple[Plan, ...]:
    """Returns `find_plans`, at least one. Raises InvalidRequest (`insufficient_memory`) if nothing fits."""
    found = find_plans(task, options, pools, slots=slots)
    if not found:
        assert task is not None
        raise refusal(task, pools, slots=slots)
    return found


def refusal(task: Task, pools: Sequence[Pool], *, slots: int) -> InvalidRequest:
    largest = max(pools, key=lambda pool: pool.all_devices * pool.bytes_per_worker)
    tried = [one for pool in pools for one in planned(task, pool, slots=slots)]
    wanted = task.options.num_workers
    if not tried:
        most = min(largest.all_devices, slots)
        whole = ", and on whole nodes if one is not enough" if task.options.is_elastic else ""
        return InvalidRequest(
            f"training.num_workers is {wanted}, but this server trains on at most {most} devices at once"
            f"{whole}.",
            param="training.num_workers",
        )
    least = min(tried, key=lambda one: (one.footprint.device.total, one.way.num_workers))
    proposals = list(_proposals(task, pools, slots)) or list(_pairs(task, pools, slots))
    advice = "No change of one or two options makes it fit."
    if proposals:
        advice = f"It fits with {', or '.join(proposals)}."
    return InvalidRequest(
        f"Training {task.base.alias} this way needs {_need(least)}, {_have(largest, least)}."
        f"{_why_not_shared(task, largest)} {advice}",
        code="insufficient_memory",
        param="training",
    )


def _need(one: Planned) -> str:
    of = "device memory" if one.footprint.pool.kind == "cuda" else "host memory"
    return need(one.way.num_workers, one.footprint.device.model_dump(), usable=USABLE, of=of)


def _have(pool: Pool, least: Planned) -> str:
    host = least.footprint.host_bytes / USABLE
    if pool.kind == "cpu":
        return f"and the largest pool has {pool.nodes} x {size(pool.host_bytes or 0)}"
    have = f"and the largest pool has {pool.all_devices} x {size(pool.bytes_per_worker)}"
    if pool.host_bytes is not None and host > pool.host_bytes:
        have += f"; each node needs {size(host)} of host memory and has {size(pool.host_bytes)}"
    return have


def _why_not_shared(task: Task, pool: Pool) -> str:
    """Returns why more of the pool's devices do not help."""
    problem = why_not_sharded(task.options)
    if problem is None or pool.all_devices == 1:
        return ""
    return f" More devices do not help: {problem}."


def _proposals(task: Task, pools: Sequence[Pool], slots: int) -> Iterator[str]:
    for name, value in _changes(task):
        if _fits(_changed(task, **{name: value}), pools, slots):
            yield f"training.{name} {value!r}"
    if (length := _longest_that_fits(task, pools, slots)) is not None:
        yield f"training.max_seq_length {length} or less"
    if (count := _devices_that_fit(task, pools)) is not None:
        yield count


def _pairs(task: Task, pools: Sequence[Pool], slots: int) -> Iterator[str]:
    """Yields combined changes of two options that do not suffice separately."""
    tried: set[frozenset[str]] = set()
    for name, value in _changes(task):
        for second in _proposals(_changed(task, **{name: value}), pools, slots):
            first = f"training.{name} {value!r}"
            # The same pair in the other order.
            if frozenset((first, second)) not in tried and not second.startswith(f"training.{name} "):
                tried.add(frozenset((first, second)))
                yield f"{first} and {second}"


def _changes(task: Task) -> Iterator[tuple[str, Any]]:
    options, rates = task.options, task.base.learning_rates
    if options.activation_checkpointing in ("none", "full"):
        yield "activation_checkpointing", "auto"
    if options.num_workers != "auto":
        yield "num_workers", "auto"
    if options.parallelism != "auto":
        yield "parallelism", "auto"
    if "lora" not in rates:
        return
    if options.type == "full":
        yield "type", "lora"
    if options.type in ("full", "lora") and not options.use_dora and task.base.architecture == "decoder":
        yield "type", "qlora"


def _changed(task: Task, **changes: Any) -> Task:
    return replace(task, options=task.options.model_copy(update=changes))


def _fits(task: Task, pools: Sequence[Pool], slots: int) -> bool:
    return find_plan(task, task.options, pools, slots=slots) is not None


def _longest_that_fits(task: Task, pools: Sequence[Pool], slots: int) -> int | None:
    """Returns a power of two that is shorter than the longest sequence."""
    length = 1 << max(0, task.lengths.sequence - 1).bit_length()
    while (length := length // 2) >= _SHORTEST:
        example = min(task.lengths.example, (2 if task.method == "dpo" else 1) * length)
        if _fits(replace(task, lengths=Lengths(example, length)), pools, slots):
            return length
    return None


def _devices_that_fit(task: Task, pools: Sequence[Pool]) -> str | None:
    """Returns a larger number of devices of the kind that the largest pool has."""
    if task.options.num_workers != "auto":
        return None
    pool = max(pools, key=lambda each: each.all_devices * each.bytes_per_worker)
    for count in (2, 4, 8, 16, 32, 64):
        devices = min(count, max(pool.devices, 8))
        larger = pool.model_copy(update={"devices": devices, "nodes": count // devices})
        if count > 1 and (plan := find_plan(task, task.options, [larger], slots=MAX_WORKERS)) is not None:
            return f"{plan.num_workers} devices (pools are the operator's)"
    return None
