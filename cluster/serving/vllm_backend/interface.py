"""The part of vLLM that is used, imported only here and only when an engine is created.

Written against vLLM 0.29's V1 engine: `vllm.v1.engine.async_llm.AsyncLLM` (from_engine_args, generate,
add_lora, remove_lora, errored, shutdown), `vllm.AsyncEngineArgs`, `vllm.config.StructuredOutputsConfig`,
`vllm.SamplingParams`, `vllm.sampling_params.StructuredOutputsParams`, `vllm.lora.request.LoRARequest`,
`vllm.inputs.tokens_input`, and the `RequestOutput`s that generate yields (`vllm.outputs`, `vllm.logprobs`).
"""

import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cluster.contracts.errors import EngineStartFailed
from cluster.serving.vllm_backend.environment import complete_variables


class Logprob(Protocol):
    logprob: float
    rank: int | None
    """Rank among all tokens; 1 is the most likely one."""


Logprobs = Mapping[int, Logprob]
"""Log-probabilities for one position: of the actual token and the k most likely ones."""


class CompletionOutput(Protocol):
    """The new tokens of one sequence since the last output."""

    token_ids: Sequence[int]
    logprobs: Sequence[Logprobs] | None
    finish_reason: str | None
    """stop, length, abort or error; None while the sequence continues."""


class RequestOutput(Protocol):
    prompt_logprobs: Sequence[Logprobs | None] | None
    """Complete in the first output. None for the first token, which has no predecessor."""
    outputs: Sequence[CompletionOutput]


class AsyncLLM(Protocol):
    """vLLM's engine, which is a client of the process that runs it."""

    @property
    def errored(self) -> bool:
        """Whether the process has died."""
        ...

    def generate(
        self, prompt: Any, sampling_params: Any, request_id: str, *, lora_request: Any = None
    ) -> AsyncGenerator[RequestOutput, None]:
        """Closing the generator aborts the request."""
        ...

    async def add_lora(self, lora_request: Any) -> bool: ...

    async def remove_lora(self, lora_id: int) -> bool: ...

    def shutdown(self) -> None:
        """Blocks until the process has ended."""
        ...


@dataclass(frozen=True)
class Vllm:
    """The names imported from vLLM."""

    start: Callable[..., AsyncLLM]
    """Starts an engine with keyword arguments of AsyncEngineArgs. Blocks while the model is loaded."""
    SamplingParams: Callable[..., Any]
    StructuredOutputsParams: Callable[..., Any]
    LoRARequest: Callable[..., Any]
    tokens_input: Callable[..., Any]
    delta: Any
    """RequestOutputKind.DELTA."""
    VLLMClientError: type[Exception]
    """Raised for a request that cannot work."""


def import_vllm() -> Vllm:
    """Raises EngineStartFailed (`no_environment`) if vLLM is not installed."""
    complete_variables(os.environ)
    try:
        from vllm import AsyncEngineArgs, SamplingParams
        from vllm.config import StructuredOutputsConfig
        from vllm.exceptions import VLLMClientError
        from vllm.inputs import tokens_input
        from vllm.lora.request import LoRARequest
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams
        from vllm.v1.engine.async_llm import AsyncLLM as Llm
    except ImportError as error:
        raise EngineStartFailed(
            f"vLLM cannot be imported ({error.name} is missing or has another version). Install the extra "
            "`vllm`, run `tunery vllm install` for an environment of its own, or choose the embedded engine.",
            cause="no_environment",
        ) from error

    def start(**options: Any) -> AsyncLLM:
        # Grammars are in llguidance's language, which the embedded engine uses too.
        guided = StructuredOutputsConfig(backend="guidance")
        engine: AsyncLLM = Llm.from_engine_args(AsyncEngineArgs(**options, structured_outputs_config=guided))
        return engine

    return Vllm(
        start,
        SamplingParams,
        StructuredOutputsParams,
        LoRARequest,
        tokens_input,
        RequestOutputKind.DELTA,
        VLLMClientError,
    )
