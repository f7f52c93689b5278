"""The part of vLLM that is used here, imported in this one place and only when an engine is to be made.

Written against vLLM 0.29's V1 engine: `vllm.v1.engine.async_llm.AsyncLLM` (from_engine_args, generate,
add_lora, remove_lora, errored, shutdown), `vllm.AsyncEngineArgs`, `vllm.config.StructuredOutputsConfig`,
`vllm.SamplingParams`, `vllm.sampling_params.StructuredOutputsParams`, `vllm.lora.request.LoRARequest`,
`vllm.inputs.tokens_input`, and the `RequestOutput`s that generate yields (`vllm.outputs`, `vllm.logprobs`).
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cluster.contracts.errors import InvalidConfiguration


class Logprob(Protocol):
    logprob: float
    rank: int | None
    """From 1, the likeliest."""


Logprobs = Mapping[int, Logprob]
"""Of one place: the token that stands there, and the k likeliest."""


class CompletionOutput(Protocol):
    """What is new of one choice since the last output."""

    token_ids: Sequence[int]
    logprobs: Sequence[Logprobs] | None
    finish_reason: str | None
    """stop, length, abort or error; None while it goes on."""


class RequestOutput(Protocol):
    prompt_logprobs: Sequence[Logprobs | None] | None
    """Complete in the first output; None stands for the first token, which nothing precedes."""
    outputs: Sequence[CompletionOutput]


class AsyncLLM(Protocol):
    """vLLM's engine: a process of its own, and this side's end of it."""

    @property
    def errored(self) -> bool:
        """Its process has died."""
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
    """vLLM's own names."""

    start: Callable[..., AsyncLLM]
    """From the keyword arguments of AsyncEngineArgs to an engine. Blocks while the model is loaded."""
    SamplingParams: Callable[..., Any]
    StructuredOutputsParams: Callable[..., Any]
    LoRARequest: Callable[..., Any]
    tokens_input: Callable[..., Any]
    delta: Any
    """RequestOutputKind.DELTA."""
    VLLMClientError: type[Exception]
    """The request cannot work."""


def import_vllm() -> Vllm:
    """Raises InvalidConfiguration if vLLM is not installed."""
    try:
        from vllm import AsyncEngineArgs, SamplingParams
        from vllm.config import StructuredOutputsConfig
        from vllm.exceptions import VLLMClientError
        from vllm.inputs import tokens_input
        from vllm.lora.request import LoRARequest
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams
        from vllm.v1.engine.async_llm import AsyncLLM as Llm
    except ImportError as error:
        raise InvalidConfiguration(
            f"vLLM cannot be imported ({error}); install the extra `vllm` or set TUNERY_ENGINE=embedded.",
            param="TUNERY_ENGINE",
        ) from error

    def start(**options: Any) -> AsyncLLM:
        # Grammars are in llguidance's language, the one that the embedded engine follows too.
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
