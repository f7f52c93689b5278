"""How many replicas a deployment of models has."""

from typing import Any

from cluster.serving.deployment.settings import EngineSettings


def replicas(settings: EngineSettings) -> dict[str, Any]:
    """Options of a deployment. Between two numbers of replicas it is what they have to do that decides: one
    more where requests outnumber the slots, one less after `rest_seconds` with less to do."""
    if settings.min_replicas == settings.max_replicas:
        return {"num_replicas": settings.max_replicas}
    return {
        "autoscaling_config": {
            "min_replicas": settings.min_replicas,
            "max_replicas": settings.max_replicas,
            "target_ongoing_requests": settings.slots,
            # From none to one it goes at once.
            "upscale_delay_s": 10,
            "look_back_period_s": min(10.0, settings.rest_seconds),
            "downscale_delay_s": settings.rest_seconds,
        }
    }
