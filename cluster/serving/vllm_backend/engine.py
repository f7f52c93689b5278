"""vLLM behind the Engine protocol: one base, or one full fine-tune, in a process of vLLM's own."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import (
    ContextLengthExceeded,
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
from cluster.serving.limits import Limits
from cluster.serving.text.answer import ChoiceAnswer
from cluster.serving.text.checked import checked
from cluster.serving.text.compiling import Compiler
from cluster.serving.text.guidance import Guidance, Guide
from cluster.serving.text.prompts import PromptReader, ReadPrompt
from cluster.serving.text.vocabulary import Vocabulary
from cluster.serving.vllm_backend.adapters import Adapters
from cluster.serving.vllm_backend.admission import Admission, Ticket
from cluster.serving.vllm_backend.blame import Blame
from cluster.serving.vllm_backend.choice import ChoiceReader, scored_prompt
from cluster.serving.vllm_backend.interface import AsyncLLM, RequestOutput, Vllm
from cluster.serving.vllm_backend.params import choice_params

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Stream:
    """What the tasks of a request's choices have to say, in one line."""

    outputs: asyncio.Queue[GenerationEvent | TuneryError | None] = field(default_factory=asyncio.Queue)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    announced: asyncio.Event = field(default_factory=asyncio.Event)
    """Its PromptEvent is out."""
    is_over: bool = False

    def say(self, event: GenerationEvent) -> None:
        if not self.is_over:
            self.outputs.put_nowait(event)

    def end(self, error: TuneryError | None) -> None:
        """The last word, and the end of all its choices."""
        if not self.is_over:
            self.is_over = True
            self.outputs.put_nowait(error)
            for task in self.tasks:
                task.cancel()


@dataclass(frozen=True)
class _Job:
    request: GenerationRequest
    prompt: ReadPrompt
    adapter: Any
    """A LoRARequest, or None."""
    stream: _Stream
    guide: Guide | None

    @property
    def must_score(self) -> bool:
        return self.request.sampling.echo and self.request.sampling.logprobs is not None


class VllmEngine:
    """An Engine over `AsyncLLM`. VllmLoader makes them.

    This side has everything that vLLM would do differently: prompts are tokenised, text and stop strings put
    together, places and adapters given out here; vLLM is told token ids and tells token ids.
    """

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
        limits: Limits,
        num_bytes: int,
        full_digest: str | None = None,
    ) -> None:
        """`num_bytes` is what vLLM was given of the GPU's memory. `full_digest` names the weights if they are
        not the base's own."""
        self._num_bytes = num_bytes
        self._base = base
        self._vllm = vllm
        self._llm = llm
        self._vocabulary = vocabulary
        self._stop_tokens = stop_tokens
        self._adapters = adapters
        self._slots = limits.slots
        self._full_digest = full_digest
        self._prompts = PromptReader(
            tokenizer, vocabulary, context_length=base.context_length, num_embeddings=num_embeddings
        )
        self._admission = Admission(slots=limits.slots, max_waiting=limits.max_waiting)
        self._compiler = Compiler(Guidance(vocabulary, num_tokens=num_embeddings, stop_tokens=stop_tokens))
        self._tokenising = FairThread("tokenise")
        self._checking = FairThread("check")
        self._blame = Blame()
        self._streams: dict[str, _Stream] = {}
        self._generated_tokens = 0
        self._is_closed = False

    @property
    def num_bytes(self) -> int:
        return self._num_bytes

    async def ensure(self, model: ModelRef) -> None:
        self._check_open()
        async with self._adapters.lent(model.beside):
            pass

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        self._check_open()
        if request.id in self._streams:
            raise InvalidRequest(f"Request {request.id} is under way already.", param="id")
        self._blame.check(request.model.beside)
        stream = self._streams[request.id] = _Stream()
        try:
            tenant = request.tenant
            prompt = await self._tokenising.run(tenant, partial(self._prompts.read, request))
            guide = None
            if prompt.grammar is not None:
                # vLLM has its own; this one refuses, within our limits, what vLLM's process need not compile,
                # and tells where the text must end.
                guide = await self._compiler.start(tenant, prompt.grammar)
            async with self._adapters.lent(request.model.beside) as adapter:
                self._check_open()
                if stream.is_over:
                    return
                told = self._events(_Job(request, prompt, adapter, stream, guide))
                checking = partial(self._checking.run, tenant)
                async with aclosing(checked(told, prompt.checks, checking)) as events:
                    async for event in events:
                        yield event
        finally:
            del self._streams[request.id]

    async def cancel(self, request_id: str) -> None:
        if stream := self._streams.get(request_id):
            stream.end(None)

    async def stats(self) -> EngineStats:
        self._check_open()
        return EngineStats(
            base=self._base.alias,
            running=self._admission.num_running,
            waiting=self._admission.num_waiting,
            slots=self._slots,
            adapters=[*filter(None, [self._full_digest]), *self._adapters.digests],
            generated_tokens=self._generated_tokens,
            reserved_bytes=self._num_bytes,
        )

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        tasks = [task for stream in self._streams.values() for task in stream.tasks]
        for stream in self._streams.values():
            stream.end(Unavailable("The engine was closed."))
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._adapters.close()
        await asyncio.to_thread(self._llm.shutdown)
        self._tokenising.close()
        self._compiler.close()
        self._checking.close()

    async def _events(self, job: _Job) -> AsyncGenerator[GenerationEvent, None]:
        sampling, stream = job.request.sampling, job.stream
        is_empty = job.prompt.max_tokens == 0
        if is_empty and not job.must_score:
            yield self._announcement(job, [])
            for index in range(sampling.n):
                yield _empty_finish(index)
            return
        self._check_room(job)
        tickets = self._admission.queue(job.request.tenant, 1 if is_empty else sampling.n)
        if not job.must_score:
            stream.say(self._announcement(job, []))
            stream.announced.set()
        stream.tasks += [self._start(job, index, ticket) for index, ticket in enumerate(tickets)]
        try:
            unfinished = sampling.n
            while unfinished and (output := await stream.outputs.get()) is not None:
                if isinstance(output, TuneryError):
                    raise output
                unfinished -= isinstance(output, FinishEvent)
                yield output
        finally:
            for task in stream.tasks:
                task.cancel()
            # vLLM has let go of the adapter, and the places are free, when these have ended.
            await asyncio.gather(*stream.tasks, return_exceptions=True)

    def _start(self, job: _Job, index: int, ticket: Ticket) -> asyncio.Task[None]:
        running = asyncio.create_task(self._run(job, index, ticket))
        # Not by the task itself, which never begins if it is cancelled at once.
        running.add_done_callback(lambda _: self._admission.leave(ticket))
        return running

    async def _run(self, job: _Job, index: int, ticket: Ticket) -> None:
        """One choice, from its place in the queue to its last event."""
        try:
            await ticket.turn
            if index:
                # The first choice brings the prompt's scores, and its prompt is in the cache then.
                await job.stream.announced.wait()
            await self._decode(job, index)
            self._blame.clear(job.request.model.beside)
        except CorruptArtefact as error:
            job.stream.end(self._blame.judge(job.request.model.beside, error))
        except TuneryError as error:
            job.stream.end(error)
        except Exception as error:
            job.stream.end(self._as_ours(error))

    async def _decode(self, job: _Job, index: int) -> None:
        answer = ChoiceAnswer(
            job.request.sampling,
            index,
            vocabulary=self._vocabulary,
            stop_tokens=self._stop_tokens,
            guide=job.guide and job.guide.fork(),
            calls=job.prompt.calls,
        )
        reader = ChoiceReader(job.request, answer)
        async with aclosing(self._outputs(job, index)) as outputs:
            async for output in outputs:
                if not job.stream.announced.is_set():
                    tokens = scored_prompt(
                        job.request, job.prompt.token_ids, output.prompt_logprobs, self._vocabulary
                    )
                    job.stream.say(self._announcement(job, tokens))
                    job.stream.announced.set()
                if job.prompt.max_tokens == 0:
                    # Its one token is only what vLLM needs to score a prompt.
                    for choice in range(job.request.sampling.n):
                        job.stream.say(_empty_finish(choice))
                    return
                completion = output.outputs[0]
                self._generated_tokens += len(completion.token_ids)
                for event in reader.read(completion):
                    job.stream.say(event)
                if reader.is_finished:
                    return
        raise Unavailable("The engine ended the request; try again.")

    def _outputs(self, job: _Job, index: int) -> AsyncGenerator[RequestOutput, None]:
        request = job.request
        return self._llm.generate(
            # Tenants share no cached keys and values, so that none can time another's prompts.
            self._vllm.tokens_input(job.prompt.token_ids, cache_salt=request.tenant or None),
            choice_params(self._vllm, request, job.prompt, index, stop_tokens=self._stop_tokens),
            f"{request.id}-{index}",
            lora_request=job.adapter,
        )

    def _check_room(self, job: _Job) -> None:
        if len(job.prompt.token_ids) >= self._base.context_length:
            raise ContextLengthExceeded(
                f"vLLM scores prompts of {self._base.context_length - 1} tokens at most, one less than the "
                f"context of this model; this one has {len(job.prompt.token_ids)}.",
                param=job.request.prompt.param,
            )

    def _announcement(self, job: _Job, tokens: list[TokenLogprob]) -> PromptEvent:
        return PromptEvent(
            prompt_tokens=len(job.prompt.token_ids),
            text=job.prompt.text if job.request.sampling.echo else "",
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
        if self._llm.errored or self._blame.is_memory_spoiled:
            raise Unavailable("The engine is broken.")


def _empty_finish(index: int) -> FinishEvent:
    return FinishEvent(index=index, reason="length", completion_tokens=0)
