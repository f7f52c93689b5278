"""What an attempt is told about where it runs."""

from collections.abc import Sequence

from cluster.contracts.devices import Pool
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.contracts.jobs import Placement
from service.db.scheduler.store import Claim


def placed(
    config: TrainingConfig, claim: Claim, pools: Sequence[Pool]
) -> tuple[TrainingConfig, Placement | None]:
    """The job's configuration as it is planned for the pool and the number of workers, and the place.

    A job that was planned without pools runs anywhere, on the nodes that were chosen. The pool is described
    as its operator does now, or as it was when the job was planned if it is gone."""
    if claim.pool is None:
        return config, None
    nodes = dict(claim.nodes)
    plan = config.plan_in(claim.pool, claim.workers)
    if plan is None or plan.footprint is None:
        return config.placed(plan or config.plans[0]), Placement(pool=claim.pool, nodes=nodes)
    pool = next((pool for pool in pools if pool.name == claim.pool), plan.footprint.pool)
    return config.placed(plan), Placement(pool=claim.pool, labels=pool.selector, nodes=nodes)
