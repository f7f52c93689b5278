"""How a deployment of models takes requests, and how many replicas it has."""

from typing import Any

from cluster.serving.deployment.router import ROUTER_CONFIG
from cluster.serving.deployment.settings import EngineSettings

OPTIONS: dict[str, Any] = {
    # The engine bounds its own queue and answers 429; Serve's limit is only a second wall behind that one.
    "max_ongoing_requests": 512,
    "max_queued_requests": 512,
    # As long as a stream may take to end after a redeployment.
    "graceful_shutdown_timeout_s": 120,
    "health_check_timeout_s": 60,
    "request_router_config": ROUTER_CONFIG,
}
"""Of every deployment that requests for models go to."""


def replicas(settings: EngineSettings) -> dict[str, Any]:
    """Options of a deployment. Between two numbers of replicas it is what they have to do that decides: one
    more where requests outnumber the slots, one less after `scale_to_zero_seconds` with less to do."""
    if settings.min_replicas == settings.max_replicas:
        return {"num_replicas": settings.max_replicas}
    return {
        "autoscaling_config": {
            "min_replicas": settings.min_replicas,
            "max_replicas": settings.max_replicas,
            "target_ongoing_requests": settings.slots,
            # From none to one it goes at once.
            "upscale_delay_s": 10,
            "look_back_period_s": min(10.0, settings.scale_to_zero_seconds),
            "downscale_delay_s": settings.scale_to_zero_seconds,
        }
    }
