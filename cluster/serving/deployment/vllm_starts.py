"""What the placer knows of the starts of vLLM."""

import asyncio
from dataclasses import dataclass, field

from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from cluster.serving.deployment.readiness import ENGINE_APPLICATION
from cluster.serving.deployment.settings import PLACER

_PLACER_SECONDS = 3.0
"""How long readers of the bases wait for the placer."""


@dataclass(frozen=True)
class VllmStarts:
    """By `ModelRef.weights`, as far as anyone has tried to start them."""

    failures: dict[str, str] = field(default_factory=dict)
    """Why vLLM does not start."""
    contexts: dict[str, int] = field(default_factory=dict)
    """Tokens of the context that it has started with."""


async def vllm_starts() -> VllmStarts:
    try:
        handle = serve.get_deployment_handle(PLACER, ENGINE_APPLICATION)
        async with asyncio.timeout(_PLACER_SECONDS):
            failures = await handle.options(method_name="failures").remote()
            contexts = await handle.options(method_name="contexts").remote()
    except (KeyError, RayServeException, RayError, TimeoutError):
        # No placer, or none that answers: `check_engines` is there to say so.
        return VllmStarts()
    return VllmStarts(failures, contexts)
