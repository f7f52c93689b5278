"""What the placer knows of models that vLLM does not start."""

import asyncio

from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from cluster.serving.deployment.readiness import ENGINE_APPLICATION
from cluster.serving.deployment.settings import PLACER

_PLACER_SECONDS = 3.0
"""How long readers of the bases wait for the placer."""


async def start_failures() -> dict[str, str]:
    """Why vLLM does not start, by `ModelRef.weights`, as far as anyone has tried."""
    try:
        handle = serve.get_deployment_handle(PLACER, ENGINE_APPLICATION)
        async with asyncio.timeout(_PLACER_SECONDS):
            failures: dict[str, str] = await handle.options(method_name="failures").remote()
    except (KeyError, RayServeException, RayError, TimeoutError):
        # No placer, or none that answers: `check_engines` is there to say so.
        return {}
    return failures
