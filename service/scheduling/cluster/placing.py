"""Determines the configuration and the place of an attempt."""

from collections.abc import Sequence

from cluster.contracts.devices import Pool
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.contracts.jobs import Placement
from service.db.scheduler.store import Claim


def placed(
    config: TrainingConfig, claim: Claim, pools: Sequence[Pool]
) -> tuple[TrainingConfig, Placement | None]:
    """Returns the job's configuration, as planned for the pool and the number of workers, and the place.

    A job that was planned without pools runs anywhere, on the nodes that were chosen. The pool's description
    is the operator's current one, or the one from the job's plan if the pool is gone."""
    if claim.pool is None:
        return config, None
    nodes = dict(claim.nodes)
    plan = config.plan_in(claim.pool, claim.workers)
    if plan is None or plan.footprint is None:
        return config.placed(plan or config.plans[0]), Placement(pool=claim.pool, nodes=nodes)
    pool = next((pool for pool in pools if pool.name == claim.pool), plan.footprint.pool)
    return config.placed(plan), Placement(pool=claim.pool, labels=pool.selector, nodes=nodes)
