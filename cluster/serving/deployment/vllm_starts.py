"""What the placer knows about starts of vLLM."""

import asyncio
from dataclasses import dataclass, field

from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from cluster.serving.deployment.readiness import ENGINE_APPLICATION
from cluster.serving.deployment.settings import PLACER

_PLACER_SECONDS = 3.0
"""How long requests for the bases wait for the placer."""


@dataclass(frozen=True)
class VllmStarts:
    """Starts by `ModelRef.weights`, as far as anyone has tried them."""

    failures: dict[str, str] = field(default_factory=dict)
    """Why vLLM does not start."""
    contexts: dict[str, int] = field(default_factory=dict)
    """Tokens of the context with which vLLM has started."""


async def vllm_starts() -> VllmStarts:
    try:
        handle = serve.get_deployment_handle(PLACER, ENGINE_APPLICATION)
        async with asyncio.timeout(_PLACER_SECONDS):
            failures = await handle.options(method_name="failures").remote()
            contexts = await handle.options(method_name="contexts").remote()
    except (KeyError, RayServeException, RayError, TimeoutError):
        # There is no placer, or it does not answer. `check_engines` reports that.
        return VllmStarts()
    return VllmStarts(failures, contexts)
