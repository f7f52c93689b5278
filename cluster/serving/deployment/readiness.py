"""Checks whether models can be served without sending a request to a replica, which would start one."""

import asyncio

from ray import serve
from ray.serve.schema import ApplicationStatus, ApplicationStatusOverview, ReplicaState

from cluster.contracts.errors import Unavailable

ENGINE_APPLICATION = "engine"


async def check_engines() -> None:
    """Raises Unavailable unless engines run or are scaled to zero."""
    check((await asyncio.to_thread(serve.status)).applications.get(ENGINE_APPLICATION))


def check(application: ApplicationStatusOverview | None) -> None:
    """Raises Unavailable unless the application serves. An application that is being deployed, or whose
    replicas fail, still serves as long as each of its deployments has a running replica: with per-model
    placement, the entry and the placer."""
    if application is None:
        raise Unavailable("The engines are not deployed.")
    deployments = application.deployments.values()
    has_replicas = [found.replica_states.get(ReplicaState.RUNNING, 0) > 0 for found in deployments]
    is_served = bool(has_replicas) and all(has_replicas)
    if application.status != ApplicationStatus.RUNNING and not is_served:
        raise Unavailable(f"The engines are {application.status.value.lower()}.")
