"""Serve options for a deployment of models: queueing, routing, draining, nodes and number of replicas."""

from typing import Any

from cluster.contracts.serving_plan import VllmPlan
from cluster.serving.deployment.router import ModelRouter, router_config
from cluster.serving.deployment.settings import EngineSettings
from cluster.serving.fairness.overload import most_waiting

_STREAMS_OF_AN_ENTRY = 32
"""Streams that one replica of `engine` forwards before another one is started."""


_ONGOING_REQUESTS = 512


def options(
    settings: EngineSettings, router: type[ModelRouter] = ModelRouter, *, vllm: VllmPlan | None = None
) -> dict[str, Any]:
    """Options of every deployment that serves models. `vllm` is the plan if it serves one with vLLM."""
    return {
        # The engine bounds its own queue and answers 429; Serve's limit is only a second line of defence.
        "max_ongoing_requests": _ONGOING_REQUESTS if vllm is None else _of_vllm(settings, vllm),
        "max_queued_requests": 512,
        "graceful_shutdown_timeout_s": settings.drain_seconds,
        "health_check_timeout_s": 60,
        "request_router_config": router_config(router),
    }


def _of_vllm(settings: EngineSettings, vllm: VllmPlan) -> int:
    """As many requests as the replica's queue takes, which is fair between tenants: what waits in Serve's
    router is not. Those that wait for an adapter, or are refused, have the usual number beside them."""
    return vllm.max_num_seqs + most_waiting(settings.waiting) + _ONGOING_REQUESTS


def without_gpus(settings: EngineSettings, num_cpus: float) -> dict[str, Any]:
    """Returns Ray's options of a replica that needs no GPU."""
    selector = settings.cpu_selector
    return {"num_cpus": num_cpus} | ({"label_selector": selector} if selector else {})


def entries(settings: EngineSettings) -> EngineSettings:
    """Returns the settings that `replicas` reads, for the deployment `engine`."""
    if not settings.forwards:
        return settings
    is_shared = settings.placement == "shared"
    return settings.model_copy(
        update={
            "min_replicas": settings.min_replicas if is_shared else 1,
            "max_replicas": max(settings.max_entries, settings.max_replicas if is_shared else 1),
            "slots": min(settings.slots, _STREAMS_OF_AN_ENTRY) if is_shared else _STREAMS_OF_AN_ENTRY,
        }
    )


def replicas(settings: EngineSettings) -> dict[str, Any]:
    """Options for the number of replicas. Between the minimum and the maximum it follows the load: one more
    replica if requests outnumber the slots, one fewer after `scale_to_zero_seconds` with less load."""
    if settings.min_replicas == settings.max_replicas:
        return {"num_replicas": settings.max_replicas}
    return {
        "autoscaling_config": {
            "min_replicas": settings.min_replicas,
            "max_replicas": settings.max_replicas,
            "target_ongoing_requests": settings.slots,
            # Scaling from zero to one is immediate.
            "upscale_delay_s": 10,
            # Longer than the 10 seconds between two reports of the replicas.
            "look_back_period_s": min(15.0, settings.scale_to_zero_seconds),
            "downscale_delay_s": settings.scale_to_zero_seconds,
        }
    }
