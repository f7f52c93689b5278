"""Serve options of a deployment of models: queueing, routing, draining and number of replicas."""

from typing import Any

from cluster.serving.deployment.router import ModelRouter, router_config
from cluster.serving.deployment.settings import EngineSettings


def options(settings: EngineSettings, router: type[ModelRouter] = ModelRouter) -> dict[str, Any]:
    """Options of every deployment that serves models."""
    return {
        # The engine bounds its own queue and answers 429; Serve's limit is only a second line of defence.
        "max_ongoing_requests": 512,
        "max_queued_requests": 512,
        "graceful_shutdown_timeout_s": settings.drain_seconds,
        "health_check_timeout_s": 60,
        "request_router_config": router_config(router),
    }


def replicas(settings: EngineSettings) -> dict[str, Any]:
    """Options for the number of replicas. Between the minimum and the maximum it follows the load: one more
    if requests outnumber the slots, one less after `scale_to_zero_seconds` with less load."""
    if settings.min_replicas == settings.max_replicas:
        return {"num_replicas": settings.max_replicas}
    return {
        "autoscaling_config": {
            "min_replicas": settings.min_replicas,
            "max_replicas": settings.max_replicas,
            "target_ongoing_requests": settings.slots,
            # Scaling from zero to one is immediate.
            "upscale_delay_s": 10,
            "look_back_period_s": min(10.0, settings.scale_to_zero_seconds),
            "downscale_delay_s": settings.scale_to_zero_seconds,
        }
    }
