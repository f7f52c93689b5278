"""The adapters of one vLLM engine, loaded on first use and removed when their memory is needed."""

import asyncio
import itertools
import logging
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from cluster.contracts.errors import InvalidRequest, Unavailable
from cluster.contracts.weights import WeightsRef
from cluster.serving.limits import EngineLimits
from cluster.serving.residency.model_cache import ModelCache
from cluster.serving.vllm_backend.interface import AsyncLLM, Vllm
from cluster.serving.vllm_backend.plain_lora import rank_of, write_plain
from cluster.serving.weights.adapter import Adapter

_log = logging.getLogger(__name__)

_CLOSE_SECONDS = 60.0
"""A vLLM that hangs never answers, and keeps its GPUs until its process is ended."""
_UNSUPPORTED = re.compile(
    r"expected target modules in"
    r"|LoRA rank \d+ is greater than max_lora_rank"
    r"|is unsupported LoRA weight"
    r"|vLLM (only supports|does not (yet )?support)"
    r"|Adapter bias"
)
"""What vLLM 0.29 to 0.33 says about adapters that it will never accept (`vllm/lora`)."""


@dataclass(frozen=True)
class _Loaded:
    request: Any
    """A LoRARequest."""
    id: int
    folder: Path
    num_bytes: int
    """Bytes in the host's memory: each of vLLM's processes keeps a copy of the whole adapter."""


class Adapters:
    """Keeps at most `limits.adapters` adapters, with at most `host_bytes`, in vLLM's memory. An adapter in
    use is never removed.

    vLLM identifies adapters by number and may read their files again at any time. So each load gets a new
    number, and the folder stays until vLLM has removed the adapter."""

    def __init__(
        self,
        vllm: Vllm,
        llm: AsyncLLM,
        *,
        read: Callable[[WeightsRef], Adapter],
        folder: Path,
        release: Callable[[], None],
        limits: EngineLimits,
        max_rank: int,
        dtype: torch.dtype,
        workers: int,
        host_bytes: int,
        close_seconds: float = _CLOSE_SECONDS,
    ) -> None:
        """`read` fetches and checks an adapter; it blocks. `folder` belongs to this engine alone, and
        `release` removes it. `dtype` is the base's, and `workers` are vLLM's processes. `close_seconds` is
        how long `close` waits for them."""
        self._vllm = vllm
        self._llm = llm
        self._read = read
        self._folder = folder
        self._release = release
        self._max_rank = max_rank
        self._dtype = dtype
        self._workers = workers
        self._close_seconds = close_seconds
        self._numbers = itertools.count(1)
        self.requests = 0
        self._cache: ModelCache[_Loaded] = ModelCache(
            capacity=limits.adapters,
            max_waiting=limits.max_waiting,
            unload=self._remove,
            budget=host_bytes,
            num_bytes=lambda loaded: loaded.num_bytes,
            wait_seconds=limits.wait_seconds,
        )

    @property
    def digests(self) -> list[str]:
        return list(self._cache.loaded)

    @property
    def loads(self) -> int:
        return self._cache.loads

    @asynccontextmanager
    async def acquire(self, ref: WeightsRef | None) -> AsyncIterator[Any]:
        """Yields the adapter's LoRARequest, which is valid within the context; None for the engine's own
        weights."""
        if ref is None:
            yield None
            return
        self.requests += 1
        loaded = await self._cache.acquire(ref.digest, lambda: self._load(ref))
        try:
            yield loaded.request
        finally:
            self._cache.release(ref.digest)

    async def close(self) -> None:
        try:
            async with asyncio.timeout(self._close_seconds):
                await self._cache.close()
        except TimeoutError:
            _log.warning("vLLM has not removed its adapters within %.0f s.", self._close_seconds)
        await asyncio.to_thread(self._release)

    async def _load(self, ref: WeightsRef) -> _Loaded:
        if ref.form != "lora":
            raise InvalidRequest(
                f"This engine adds LoRA adapters to a base; weights of form '{ref.form}' are served by the "
                "embedded engine.",
                param="model",
            )
        number = next(self._numbers)
        # vLLM's prefix cache uses the name and the path. Both are the same for every load of a digest: equal
        # bytes give equal keys and values, so prefixes outlive the adapter's place in memory.
        folder = self._folder / ref.digest
        if folder.exists():
            # An earlier load's, which vLLM may still read.
            folder = self._folder / f"{ref.digest}-{number}"
        try:
            num_bytes = self._workers * await asyncio.to_thread(self._write, ref, folder)
            request = self._vllm.LoRARequest(lora_name=ref.digest, lora_int_id=number, lora_path=str(folder))
            await self._add(request, ref)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return _Loaded(request, number, folder, num_bytes)

    def _write(self, ref: WeightsRef, folder: Path) -> int:
        adapter = self._read(ref)
        if (rank := rank_of(adapter)) > self._max_rank:
            raise InvalidRequest(
                f"The adapter's rank is {rank}; this server accepts at most {self._max_rank} "
                "(TUNERY_ENGINE_LORA_RANK).",
                param="model",
            )
        try:
            return write_plain(adapter, folder, self._dtype)
        except (OSError, SafetensorError) as error:
            _log.exception("Adapter %s could not be written for vLLM.", ref.digest)
            raise Unavailable("The disk of the replica is full or fails; try again later.") from error

    async def _add(self, request: Any, ref: WeightsRef) -> None:
        try:
            await self._llm.add_lora(request)
        except Exception as error:
            if self._llm.errored:
                raise Unavailable("The engine is broken.") from error
            _log.exception("vLLM did not accept adapter %s.", ref.digest)
            # Any error in vLLM's process arrives as a bare Exception with its text.
            if not _UNSUPPORTED.search(str(error)):
                raise Unavailable("The engine could not load the adapter; try again.") from error
            raise InvalidRequest(
                "vLLM cannot add this adapter's layers to this base; it can be served merged.", param="model"
            ) from error

    async def _remove(self, loaded: _Loaded) -> None:
        try:
            await self._llm.remove_lora(loaded.id)
        except Exception:
            # A dead engine has lost it anyway; a running one only keeps an adapter that is never used again,
            # and its files.
            _log.warning("vLLM did not remove adapter %s.", loaded.id, exc_info=True)
            return
        await asyncio.to_thread(shutil.rmtree, loaded.folder, ignore_errors=True)
