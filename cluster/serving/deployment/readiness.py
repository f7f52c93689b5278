"""Whether a request to a model would be served: told without asking a replica, which would wake it up."""

import asyncio

from ray import serve
from ray.serve.schema import ApplicationStatus, ReplicaState

from cluster.contracts.errors import Unavailable

_NAME = "engine"


async def check_engines() -> None:
    """Raises Unavailable unless engines run, or rest at zero replicas until somebody asks."""
    application = (await asyncio.to_thread(serve.status)).applications.get(_NAME)
    if application is None:
        raise Unavailable("The engines are not deployed.")
    deployments = application.deployments.values()
    is_served = any(found.replica_states.get(ReplicaState.RUNNING, 0) for found in deployments)
    if application.status != ApplicationStatus.RUNNING and not is_served:
        raise Unavailable(f"The engines are {application.status.value.lower()}.")
