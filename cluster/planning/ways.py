"""The ways in which a job could run on a pool, the best first."""

from collections.abc import Iterator

from cluster.contracts.devices import Pool
from cluster.contracts.hyperparameters import TrainingOptions, WorkerRange, parallelisms
from cluster.contracts.plan import MICROBATCH_TOKENS, ActivationCheckpointing
from cluster.planning.memory import Way

_PASSES: dict[str, tuple[tuple[ActivationCheckpointing, int], ...]] = {
    "cuda": (
        ("none", MICROBATCH_TOKENS),
        ("none", MICROBATCH_TOKENS // 2),
        ("full", MICROBATCH_TOKENS),
        ("full", MICROBATCH_TOKENS // 2),
        ("full", MICROBATCH_TOKENS // 4),
        ("offload", MICROBATCH_TOKENS),
        ("offload", MICROBATCH_TOKENS // 4),
    ),
    "cpu": (("none", MICROBATCH_TOKENS), ("full", MICROBATCH_TOKENS)),
}
"""Recomputing takes a third more time. Small passes leave a GPU idle. Offloading waits for the host."""


def ways(options: TrainingOptions, pool: Pool, *, most_workers: int) -> Iterator[Way]:
    """Yields the ways. Those with fewer workers come first, so that a job that does not need a second device
    leaves it to another job. For an elastic job, which gives devices back when others need them, those with
    most workers come first."""
    for count in _counts(options, pool, most_workers):
        nodes = -(-count // pool.devices)
        for parallelism in parallelisms(options, count, nodes=nodes):
            for checkpointing, tokens in _passes(options, pool):
                yield Way(count, parallelism, checkpointing, tokens)


def _counts(options: TrainingOptions, pool: Pool, most_workers: int) -> list[int]:
    """Returns the numbers of workers: powers of two on one node, then whole nodes. An elastic job takes any
    number on one node."""
    most = min(pool.all_devices, most_workers)
    if options.parallelism == "single":
        return [1]
    if isinstance(options.num_workers, WorkerRange):
        wanted = range(min(options.num_workers.max, most), options.num_workers.min - 1, -1)
        return [count for count in wanted if count <= pool.devices or count % pool.devices == 0]
    if options.num_workers != "auto":
        return [options.num_workers] if options.num_workers <= most else []
    on_one = [1 << power for power in range(pool.devices.bit_length())]
    if pool.devices not in on_one:
        on_one.append(pool.devices)
    several = [pool.devices * nodes for nodes in range(2, pool.nodes + 1)]
    return [count for count in (*on_one, *several) if count <= most]


def _passes(options: TrainingOptions, pool: Pool) -> list[tuple[ActivationCheckpointing, int]]:
    wanted = options.activation_checkpointing
    if wanted == "auto":
        # Recomputing would discard the keys and values that prefix tuning learns.
        allowed = {"none"} if options.peft_type == "PREFIX_TUNING" else {"none", "full", "offload"}
        return [each for each in _PASSES[pool.kind] if each[0] in allowed]
    sizes = (MICROBATCH_TOKENS, MICROBATCH_TOKENS // 2, MICROBATCH_TOKENS // 4)
    return [(wanted, size) for size in (sizes if pool.kind == "cuda" else sizes[:1])]
