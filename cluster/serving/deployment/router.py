"""Routes the requests of a deployment to replicas by the rules of `cluster.serving.deployment.routing`.

Ray Serve runs this in its proxies and wherever there is a handle, so it imports nothing heavy.
"""

from typing import Any

from ray.serve.config import RequestRouterConfig
from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica

from cluster.serving.deployment.routing import Replica, rank_replicas


class ModelRouter(RequestRouter):  # type: ignore[misc]  # Ray has no types for it.
    """Routes by the model in the request's `MODEL_HEADER` or the handle's `multiplexed_model_id`. Replicas
    report their loaded models in `record_routing_stats`, in the form of `routing_stats`."""

    _load_at_start = False
    """Same as in `rank_replicas`."""

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        model = ""
        if pending_request is not None:
            model = pending_request.metadata.multiplexed_model_id
            # If all replicas are full, Serve waits before it tries again.
            pending_request.routing_context.should_backoff = True
        by_id = {replica.replica_id.unique_id: replica for replica in candidate_replicas}
        known = [
            Replica(
                id=id_,
                models=frozenset(replica.routing_stats.get("models", ())),
                ongoing=self.replica_queue_len_cache.get(replica.replica_id) or 0,
            )
            for id_, replica in by_id.items()
        ]
        return [[by_id[id_]] for id_ in rank_replicas(known, model, load_at_start=self._load_at_start)]


class OneModelRouter(ModelRouter):
    """Router for a deployment whose replicas all have the same weights, and load them when they start."""

    _load_at_start = True


def routing_stats(models: list[str]) -> dict[str, Any]:
    return {"models": models}


def router_config(router: type[ModelRouter]) -> RequestRouterConfig:
    # Until the first report, routers use the hashes.
    return RequestRouterConfig(request_router_class=router, request_routing_stats_period_s=2.0)
