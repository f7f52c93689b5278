"""The vLLM backend of the Engine protocol: one base or one full fine-tune, in a vLLM process."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any

from cluster.bases.text.vocabulary import Vocabulary
from cluster.contracts.bases import BaseSpec
from cluster.contracts.context_length import too_many_tokens
from cluster.contracts.errors import (
    CorruptArtefact,
    InvalidRequest,
    TuneryError,
    Unavailable,
)
from cluster.contracts.generation import (
    EngineStats,
    FinishEvent,
    GenerationEvent,
    GenerationRequest,
    ModelRef,
    PromptEvent,
    TokenLogprob,
)
from cluster.serving.fairness.fair_thread import FairThread
from cluster.serving.limits import EngineLimits
from cluster.serving.text.answer import ChoiceAnswer
from cluster.serving.text.checked import checked
from cluster.serving.text.compiling import Compiler
from cluster.serving.text.guidance import Guidance, Guide
from cluster.serving.text.prompts import PromptTokenizer, TokenizedPrompt
from cluster.serving.vllm_backend.adapters import Adapters
from cluster.serving.vllm_backend.choice import ChoiceReader, scored_prompt
from cluster.serving.vllm_backend.hang import HangDetector, silence_limit
from cluster.serving.vllm_backend.interface import AsyncLLM, RequestOutput, Vllm
from cluster.serving.vllm_backend.nonfinite import NonFiniteTracker
from cluster.serving.vllm_backend.params import choice_params
from cluster.serving.vllm_backend.slot_queue import SlotQueue, Ticket

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Stream:
    """Collects the events of a request's sequences, each of which runs in its own task."""

    outputs: asyncio.Queue[GenerationEvent | TuneryError] = field(default_factory=asyncio.Queue)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    announced: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the PromptEvent has been sent."""
    is_over: bool = False

    def send(self, event: GenerationEvent) -> None:
        if not self.is_over:
            self.outputs.put_nowait(event)

    def end(self, error: TuneryError) -> None:
        """Ends the stream with `error` and cancels all sequences."""
        if not self.is_over:
            self.is_over = True
            self.outputs.put_nowait(error)
            for task in self.tasks:
                task.cancel()


@dataclass(frozen=True)
class _Request:
    body: GenerationRequest
    prompt: TokenizedPrompt
    adapter: Any
    """A LoRARequest, or None."""
    stream: _Stream
    guide: Guide | None

    @property
    def must_score(self) -> bool:
        return self.body.sampling.echo and self.body.sampling.logprobs is not None


class VllmEngine:
    """An Engine over `AsyncLLM`, created by VllmLoader.

    Everything that vLLM would do differently is done on this side: tokenizing prompts, assembling text,
    matching stop strings, and admitting sequences and adapters. vLLM only receives and returns token ids."""

    def __init__(
        self,
        base: BaseSpec,
        vllm: Vllm,
        llm: AsyncLLM,
        tokenizer: Any,
        *,
        vocabulary: Vocabulary,
        num_embeddings: int,
        stop_tokens: frozenset[int],
        adapters: Adapters,
        limits: EngineLimits,
        max_loras: int,
        num_bytes: int,
        context_length: int,
        full_digest: str | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`max_loras` is the number of adapters that vLLM runs at once, and `num_bytes` the GPU memory that
        it is given. `context_length` is the part of the base's context that fits into that memory.
        `full_digest` identifies the weights if they are not the base's own."""
        self._num_bytes = num_bytes
        self._base = base
        self._vllm = vllm
        self._llm = llm
        self._vocabulary = vocabulary
        self._stop_tokens = stop_tokens
        self._adapters = adapters
        self._slots = limits.slots
        self._full_digest = full_digest
        self._prompts = PromptTokenizer(
            tokenizer,
            vocabulary,
            context_length=context_length,
            num_embeddings=num_embeddings,
            full_length=base.context_length,
        )
        self._context_length = context_length
        self._slot_queue = SlotQueue(slots=limits.slots, max_waiting=limits.max_waiting, max_loras=max_loras)
        self._compiler = Compiler(Guidance(vocabulary, num_tokens=num_embeddings, stop_tokens=stop_tokens))
        self._tokenizing = FairThread("tokenize")
        self._checking = FairThread("check")
        self._nonfinite = NonFiniteTracker()
        self._hang = HangDetector(silence_limit(context_length), clock)
        self._has_hung = False
        self._streams: dict[str, _Stream] = {}
        self._generated_tokens = 0
        self._is_closed = False

    @property
    def num_bytes(self) -> int:
        return self._num_bytes

    async def ensure(self, model: ModelRef) -> None:
        self._check_open()
        async with self._adapters.acquire(model.beside):
            pass

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        self._check_open()
        if request.id in self._streams:
            raise InvalidRequest(f"Request {request.id} is under way already.", param="id")
        self._nonfinite.check(request.model.beside)
        stream = self._streams[request.id] = _Stream()
        try:
            tenant = request.tenant
            prompt = await self._tokenizing.run(tenant, partial(self._prompts.tokenize, request))
            guide = None
            if prompt.grammar is not None:
                # vLLM compiles the grammar again. This guide applies our limits before that, and knows where
                # the text must end.
                guide = await self._compiler.start(tenant, prompt.grammar)
            async with self._adapters.acquire(request.model.beside) as adapter:
                self._check_open()
                sent = self._events(_Request(request, prompt, adapter, stream, guide))
                checking = partial(self._checking.run, tenant)
                async with aclosing(checked(sent, prompt.checks, checking)) as events:
                    async for event in events:
                        yield event
        finally:
            del self._streams[request.id]

    async def stats(self) -> EngineStats:
        self._check_open()
        return EngineStats(
            base=self._base.alias,
            running=self._slot_queue.num_running,
            waiting=self._slot_queue.num_waiting,
            slots=self._slots,
            adapters=[*filter(None, [self._full_digest]), *self._adapters.digests],
            generated_tokens=self._generated_tokens,
            context_length=self._context_length,
            reserved_bytes=self._num_bytes,
            adapter_requests=self._adapters.requests,
            adapter_loads=self._adapters.loads,
        )

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        tasks = [task for stream in self._streams.values() for task in stream.tasks]
        self._end_streams(Unavailable("The engine was closed."))
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._adapters.close()
        await asyncio.to_thread(self._llm.shutdown)
        self._tokenizing.close()
        self._compiler.close()
        self._checking.close()

    async def _events(self, request: _Request) -> AsyncGenerator[GenerationEvent, None]:
        sampling, stream = request.body.sampling, request.stream
        is_empty = request.prompt.max_tokens == 0
        if is_empty and not request.must_score:
            yield self._announcement(request, [])
            for index in range(sampling.n):
                yield _empty_finish(index)
            return
        self._check_room(request)
        beside = request.body.model.beside
        tickets = self._slot_queue.queue(
            request.body.tenant, 1 if is_empty else sampling.n, beside.digest if beside else None
        )
        if not request.must_score:
            stream.send(self._announcement(request, []))
            stream.announced.set()
        stream.tasks += [self._start(request, index, ticket) for index, ticket in enumerate(tickets)]
        try:
            unfinished = sampling.n
            while unfinished:
                output = await stream.outputs.get()
                if isinstance(output, TuneryError):
                    raise output
                unfinished -= isinstance(output, FinishEvent)
                yield output
        finally:
            for task in stream.tasks:
                task.cancel()
            # When these tasks have ended, vLLM has released the adapter and the slots are free.
            await asyncio.gather(*stream.tasks, return_exceptions=True)

    def _start(self, request: _Request, index: int, ticket: Ticket) -> asyncio.Task[None]:
        running = asyncio.create_task(self._run(request, index, ticket))
        # Not in the task itself, because a task that is cancelled at once never starts.
        running.add_done_callback(lambda _: self._slot_queue.leave(ticket))
        return running

    async def _run(self, request: _Request, index: int, ticket: Ticket) -> None:
        """Runs one sequence from the queue to its last event."""
        try:
            await ticket.turn
            if index:
                # The first sequence brings the prompt's scores and fills the prefix cache.
                await request.stream.announced.wait()
            with self._hang.running():
                await self._decode(request, index)
            self._nonfinite.record_finite(request.body.model.beside)
        except CorruptArtefact as error:
            ours = self._nonfinite.record_nonfinite(request.body.model.beside, error)
            request.stream.end(ours)
            if self._nonfinite.is_memory_corrupted:
                # The others read the same memory, and their tokens are no more to be trusted.
                self._end_streams(ours)
        except TuneryError as error:
            request.stream.end(error)
        except Exception as error:
            request.stream.end(self._as_ours(error))

    async def _decode(self, request: _Request, index: int) -> None:
        answer = ChoiceAnswer(
            request.body.sampling,
            index,
            vocabulary=self._vocabulary,
            stop_tokens=self._stop_tokens,
            guide=request.guide and request.guide.fork(),
            calls=request.prompt.calls,
            reasoning=request.prompt.reasoning,
        )
        reader = ChoiceReader(request.body, answer)
        async with aclosing(self._outputs(request, index)) as outputs:
            async for output in outputs:
                self._hang.record_output()
                if not request.stream.announced.is_set():
                    tokens = scored_prompt(
                        request.body, request.prompt.token_ids, output.prompt_logprobs, self._vocabulary
                    )
                    request.stream.send(self._announcement(request, tokens))
                    request.stream.announced.set()
                if request.prompt.max_tokens == 0:
                    # vLLM must generate one token to score a prompt; it is dropped.
                    for choice in range(request.body.sampling.n):
                        request.stream.send(_empty_finish(choice))
                    return
                completion = output.outputs[0]
                self._generated_tokens += len(completion.token_ids)
                for event in reader.read(completion):
                    request.stream.send(event)
                if reader.is_finished:
                    return
        raise Unavailable("The engine ended the request; try again.")

    def _outputs(self, request: _Request, index: int) -> AsyncGenerator[RequestOutput, None]:
        body, prompt = request.body, request.prompt
        return self._llm.generate(
            # Tenants do not share cached prefixes, so that no tenant can detect another's prompts by timing.
            self._vllm.tokens_input(prompt.token_ids, cache_salt=body.tenant or None),
            choice_params(self._vllm, body, prompt, index, stop_tokens=self._stop_tokens),
            f"{body.id}-{index}",
            lora_request=request.adapter,
        )

    def _check_room(self, request: _Request) -> None:
        if len(request.prompt.token_ids) >= self._context_length:
            raise too_many_tokens(
                self._context_length,
                prompt=len(request.prompt.token_ids),
                completion=1,
                param=request.body.prompt.param,
                full_length=self._base.context_length,
                why="vLLM generates one token to score a prompt.",
            )

    def _announcement(self, request: _Request, tokens: list[TokenLogprob]) -> PromptEvent:
        return PromptEvent(
            prompt_tokens=len(request.prompt.token_ids),
            text=request.prompt.text if request.body.sampling.echo else "",
            tokens=tokens,
        )

    def _as_ours(self, error: Exception) -> TuneryError:
        if isinstance(error, self._vllm.VLLMClientError):
            return InvalidRequest(f"vLLM refuses the request: {error}")
        _log.error("A request to vLLM on %s failed.", self._base.alias, exc_info=error)
        return Unavailable("The engine failed; try again.")

    def _check_open(self) -> None:
        if self._is_closed:
            raise Unavailable("The engine was closed.")
        if not self._has_hung and self._hang.is_hung:
            self._has_hung = True
            seconds = self._hang.limit_seconds
            _log.error("vLLM has given no output on %s for %.0f s.", self._base.alias, seconds)
            self._end_streams(Unavailable("The engine hangs and will be replaced; try again."))
        if self._has_hung or self._llm.errored or self._nonfinite.is_memory_corrupted:
            raise Unavailable("The engine is broken.")

    def _end_streams(self, error: TuneryError) -> None:
        """Ends all at once. A broken engine's replica would otherwise let them go on while it drains."""
        for stream in list(self._streams.values()):
            stream.end(error)


def _empty_finish(index: int) -> FinishEvent:
    return FinishEvent(index=index, reason="length", completion_tokens=0)
