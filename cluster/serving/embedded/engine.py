"""The embedded engine: continuous batching over transformers' forward pass, in a thread of this process."""

import asyncio
import contextlib
import functools
import logging
import os
import queue
import secrets
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import torch

from cluster.bases.text.vocabulary import Vocabulary
from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import InvalidRequest, TuneryError, Unavailable
from cluster.contracts.generation import EngineStats, GenerationEvent, GenerationRequest, ModelRef
from cluster.contracts.weights import WeightsRef
from cluster.serving.embedded.request import Output, Request
from cluster.serving.embedded.runner import ModelRunner
from cluster.serving.embedded.stepper import Stepper
from cluster.serving.fairness.fair_thread import FairThread
from cluster.serving.limits import EngineLimits
from cluster.serving.residency.footprint import Footprint
from cluster.serving.residency.model_cache import ModelCache
from cluster.serving.text.checked import checked
from cluster.serving.text.compiling import Compiler
from cluster.serving.text.guidance import Guidance, Guide
from cluster.serving.text.prompts import PromptTokenizer, TokenizedPrompt
from cluster.serving.weights.adapter import Adapter

_log = logging.getLogger(__name__)

_FAILURES_OF_A_BROKEN_ENGINE = 3
"""Number of consecutive failed steps after which the device is assumed to be lost. Fewer failures may come
from a batch that is too large for memory."""


@dataclass(eq=False)
class _Stream:
    """Carries the outputs of a request from the engine's thread to the event loop."""

    outputs: asyncio.Queue[GenerationEvent | TuneryError | None] = field(default_factory=asyncio.Queue)
    request: Request | None = None
    """None until the request is passed to the engine's thread."""
    is_over: bool = False


class EmbeddedEngine:
    """An Engine for one base, with the base's own weights or those of a full fine-tune.

    One thread owns the model and all its tensors. The event loop has prompts tokenized, grammars compiled and
    adapters loaded in other threads, and communicates with the engine's thread through queues. EmbeddedLoader
    creates engines.
    """

    def __init__(
        self,
        base: BaseSpec,
        runner: ModelRunner,
        tokenizer: Any,
        *,
        vocabulary: Vocabulary,
        stop_tokens: frozenset[int],
        load_adapter: Callable[[WeightsRef], Adapter],
        limits: EngineLimits,
        footprint: Footprint,
        own_digest: str | None = None,
    ) -> None:
        """`own_digest` identifies the weights if they are not the base's: a full fine-tune, or an adapter
        merged into the base."""
        self._base = base
        self._limits = limits
        self._footprint = footprint
        self._prompts = PromptTokenizer(
            tokenizer, vocabulary, context_length=base.context_length, num_embeddings=runner.num_embeddings
        )
        self._stepper = Stepper(runner, vocabulary, stop_tokens=stop_tokens, limits=limits)
        self._own_digest = own_digest
        self._load_adapter = load_adapter
        self._adapters: ModelCache[Adapter] = ModelCache(
            capacity=limits.adapters,
            max_waiting=limits.max_waiting,
            budget=limits.adapter_bytes,
            num_bytes=lambda adapter: adapter.num_bytes,
            wait_seconds=limits.wait_seconds,
            setting="TUNERY_ENGINE_ADAPTER_BYTES",
        )
        # Separate threads, so that prompts do not wait behind grammars or downloads, and other models do not
        # wait behind this one.
        self._tokenizing = FairThread("tokenize")
        self._compiler = Compiler(
            Guidance(vocabulary, num_tokens=runner.num_embeddings, stop_tokens=stop_tokens)
        )
        self._checking = FairThread("check")
        self._loading = ThreadPoolExecutor(limits.adapters, thread_name_prefix="load")
        self._streams: dict[str, _Stream] = {}
        self._loop = asyncio.get_running_loop()
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._adapter_requests = 0
        self._is_closing = False
        self._is_broken = False
        self._thread = threading.Thread(target=self._run, name=f"engine-{base.alias}", daemon=True)
        self._thread.start()

    @property
    def num_bytes(self) -> int:
        return self._footprint.total(self._limits.slots)

    async def ensure(self, model: ModelRef) -> None:
        self._check_open()
        if (ref := self._adapter_of(model)) is not None:
            await self._acquire(ref)
            self._adapters.release(ref.digest)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        self._check_open()
        if request.id in self._streams:
            raise InvalidRequest(f"Request {request.id} is under way already.", param="id")
        stream = self._streams[request.id] = _Stream()
        ref = self._adapter_of(request.model)
        self._adapter_requests += ref is not None
        is_acquired = False
        try:
            prompt = await self._tokenizing.run(
                request.tenant, functools.partial(self._prompts.tokenize, request)
            )
            guide = await self._guide(request.tenant, prompt)
            adapter = await self._acquire(ref) if ref is not None else None
            is_acquired = ref is not None
            if adapter is not None and adapter.prefix_length:
                prompt = self._prompts.after_prefix(prompt, request, adapter.prefix_length)
            self._check_open()
            seed = request.sampling.seed
            stream.request = Request(
                request, prompt, adapter, secrets.randbits(63) if seed is None else seed, guide
            )
            self._commands.put(functools.partial(self._stepper.add, stream.request))
            checking = functools.partial(self._checking.run, request.tenant)
            async with aclosing(checked(_events_of(stream), prompt.checks, checking)) as events:
                async for event in events:
                    yield event
        finally:
            if stream.request is not None and not stream.is_over:
                # The adapter stays acquired until the thread has freed its rows.
                self._commands.put(functools.partial(self._stepper.cancel, request.id))
            else:
                self._streams.pop(request.id, None)
                if is_acquired and stream.request is None and ref is not None:
                    self._adapters.release(ref.digest)

    async def stats(self) -> EngineStats:
        self._check_open()
        adapters = self._adapters.loaded
        return EngineStats(
            base=self._base.alias,
            running=self._stepper.num_running,
            waiting=self._stepper.num_waiting,
            slots=self._limits.slots,
            adapters=[*filter(None, [self._own_digest]), *adapters],
            generated_tokens=self._stepper.generated_tokens,
            reserved_bytes=self.num_bytes,
            weight_bytes=self._footprint.weights,
            cache_bytes=self._footprint.cache(self._limits.slots),
            adapter_bytes=sum(adapter.num_bytes for adapter in adapters.values()),
            adapter_requests=self._adapter_requests,
            adapter_loads=self._adapters.loads,
        )

    async def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._commands.put(lambda: None)
        await asyncio.to_thread(self._thread.join)
        await self._adapters.close()
        self._tokenizing.close()
        self._compiler.close()
        self._checking.close()
        self._loading.shutdown(wait=False)
        # So that a caller that still refers to the engine keeps no weights in memory.
        for owner in ("_stepper", "_load_adapter"):
            vars(self).pop(owner, None)

    async def _guide(self, tenant: str, prompt: TokenizedPrompt) -> Guide | None:
        if prompt.grammar is None:
            return None
        return await self._compiler.start(tenant, prompt.grammar)

    async def _acquire(self, ref: WeightsRef) -> Adapter:
        async def load() -> Adapter:
            return await self._loop.run_in_executor(self._loading, self._load_adapter, ref)

        return await self._adapters.acquire(ref.digest, load)

    def _adapter_of(self, model: ModelRef) -> WeightsRef | None:
        """The adapter to load; None if the engine's own weights include it."""
        is_own = model.adapter is None or model.adapter.digest == self._own_digest
        return None if is_own else model.adapter

    def _check_open(self) -> None:
        if self._is_closing:
            raise Unavailable("The engine was closed.")
        if self._is_broken:
            raise Unavailable("The engine is broken.")

    def _run(self) -> None:
        """The engine's thread."""
        # OpenMP keeps this number per thread. One core stays free for the event loop and other processes.
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) - 1))
        failures = 0
        while not self._is_closing:
            try:
                self._run_commands(waits=not self._stepper.has_work)
                if self._is_broken:
                    self._stepper.fail_all(Unavailable("The engine is broken."))
                elif self._stepper.has_work:
                    self._stepper.prefill()
                    self._deliver()  # before the decode step, so that first tokens are not delayed by it
                    self._stepper.decode()
                    failures = 0
            except Exception:
                _log.exception("The engine of %s failed; its requests have been ended.", self._base.alias)
                self._stepper.fail_all(Unavailable("The engine failed; try again."))
                failures += 1
                self._is_broken = failures == _FAILURES_OF_A_BROKEN_ENGINE
            self._deliver()
        self._run_commands(waits=False)
        self._stepper.fail_all(Unavailable("The engine was closed."))
        self._deliver()

    def _run_commands(self, *, waits: bool) -> None:
        """Runs the queued commands. With `waits`, waits for the first command."""
        with contextlib.suppress(queue.Empty):
            self._commands.get(block=waits)()
            while True:
                self._commands.get_nowait()()

    def _deliver(self) -> None:
        if outputs := self._stepper.take_outputs():
            # RuntimeError: the event loop was closed while the engine was running.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._receive, outputs)

    def _receive(self, outputs: list[Output]) -> None:
        for request, output in outputs:
            stream = self._streams[request.id]
            stream.outputs.put_nowait(output)
            if output is None or isinstance(output, TuneryError):
                stream.is_over = True
                del self._streams[request.id]
                if request.adapter is not None:
                    self._adapters.release(request.adapter.digest)


async def _events_of(stream: _Stream) -> AsyncGenerator[GenerationEvent, None]:
    while (output := await stream.outputs.get()) is not None:
        if isinstance(output, TuneryError):
            raise output
        yield output
