"""Loads the vLLM engine of a model."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import AutoModelForCausalLM

from cluster.bases.fit import check_usable
from cluster.bases.pretrained import LOADING, read_config, read_tokenizer, stop_tokens
from cluster.bases.resolve import base_folder
from cluster.bases.text.vocabulary import Vocabulary
from cluster.contracts.abilities import check_generates
from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import CorruptArtefact, EngineStartFailed, InvalidConfiguration
from cluster.contracts.generation import ModelRef
from cluster.contracts.serving_plan import LEAST_CONTEXT, VllmArguments
from cluster.contracts.weights import WeightsRef
from cluster.serving.limits import EngineLimits
from cluster.serving.residency.loading import base_digests
from cluster.serving.residency.memory import free_host_bytes
from cluster.serving.vllm_backend.adapters import Adapters
from cluster.serving.vllm_backend.engine import VllmEngine
from cluster.serving.vllm_backend.host_memory import host_bytes
from cluster.serving.vllm_backend.interface import AsyncLLM, Vllm, import_vllm
from cluster.serving.vllm_backend.start_failure import captured_output, longest_context, start_failure
from cluster.serving.weights.adapter import Adapter
from cluster.serving.weights.folder import WeightsFolder
from cluster.serving.weights.lora_files import read_adapter

_log = logging.getLogger(__name__)

_CONTEXT_STEP = 256
"""A shortened context is a multiple of this many tokens."""
_NEED_TOWERS = frozenset({"gemma3n"})
"""Families whose embeddings vLLM computes only if it accepts images."""


class VllmLoader:
    """Creates the VllmEngine for a ModelRef: with its base's weights or those of the full fine-tune that it
    names, which uses the base's tokenizer."""

    def __init__(
        self,
        weights: WeightsFolder,
        limits: EngineLimits,
        sizes: VllmArguments,
        vllm: Callable[[], Vllm] = import_vllm,
        *,
        memory_bytes: int = 0,
        eager: bool = False,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`memory_bytes` is what `sizes.gpu_memory_utilization` amounts to. `eager` runs without CUDA graphs
        and compilation, which starts faster and decodes slower."""
        self._weights = weights
        self._limits = limits
        self._sizes = sizes
        self._vllm = vllm
        self._memory_bytes = memory_bytes
        self._eager = eager
        self._clock = clock

    async def __call__(self, model: ModelRef) -> VllmEngine:
        """Loads the engine. Raises InvalidRequest for an encoder, EngineStartFailed if vLLM does not start,
        InvalidConfiguration for a base in 4 bits, CorruptArtefact for a full fine-tune with non-finite
        numbers, and what fetching the weights raises."""
        check_generates(model)
        if model.is_quantized:
            raise no_four_bits(model.base)
        started = await asyncio.to_thread(self._start, model)
        try:
            with ExitStack() as stack:
                folder = await asyncio.to_thread(stack.enter_context, self._weights.scratch("adapters"))
                return self._engine(model, started, folder, release=stack.pop_all().close)
        except BaseException:
            # Otherwise nothing would end vLLM's process.
            await asyncio.to_thread(started.llm.shutdown)
            raise

    async def expected_bytes(self, model: ModelRef) -> int:
        check_generates(model)
        return self._memory_bytes

    def _start(self, ref: ModelRef) -> "_Started":
        """Starts vLLM. That comes last, so that no later failure leaves its process behind."""
        vllm = self._vllm()
        folder = base_folder(ref.base)
        check_usable(ref.base, folder)
        tokenizer = read_tokenizer(folder)
        fits = base_digests(folder, tokenizer)
        full = ref.full
        with self._weights.lease(full, **fits) if full else nullcontext(folder) as of_model:
            if full:
                _check_finite(of_model, full.digest)
            outlined = outline(of_model)
            shapes = _shapes(outlined)
            started = partial(
                _Started,
                vllm,
                tokenizer,
                vocabulary=Vocabulary(tokenizer),
                num_embeddings=int(outlined.get_input_embeddings().num_embeddings),
                stop_tokens=stop_tokens(folder, tokenizer),
                read=partial(self._read, shapes=shapes, fits=fits),
                adapted_numbers=sum(inputs + outputs for inputs, outputs in shapes.values()),
            )
            arguments = self._arguments(ref, of_model, folder, takes_adapters=full is None)
            if _runs_without_towers(outlined.config):
                arguments["language_model_only"] = True
            llm, context_length = _llm(vllm, ref, arguments)
            return started(llm=llm, context_length=context_length)

    def _engine(
        self, ref: ModelRef, started: "_Started", folder: Path, *, release: Callable[[], None]
    ) -> VllmEngine:
        """Creates the engine in its event loop. `folder` is for copies of adapters, and `release` removes
        it."""
        dtype = getattr(torch, ref.base.dtype)
        workers = self._sizes.tensor_parallel_size
        largest = workers * self._sizes.max_lora_rank * started.adapted_numbers * dtype.itemsize
        adapters = Adapters(
            started.vllm,
            started.llm,
            read=started.read,
            folder=folder,
            release=release,
            limits=self._limits,
            max_rank=self._sizes.max_lora_rank,
            dtype=dtype,
            workers=workers,
            host_bytes=host_bytes(self._sizes, self._limits, largest=largest, free=free_host_bytes()),
        )
        return VllmEngine(
            ref.base,
            started.vllm,
            started.llm,
            started.tokenizer,
            vocabulary=started.vocabulary,
            num_embeddings=started.num_embeddings,
            stop_tokens=started.stop_tokens,
            adapters=adapters,
            limits=self._limits,
            max_loras=self._max_loras,
            num_bytes=self._memory_bytes,
            context_length=started.context_length,
            full_digest=ref.full.digest if ref.full else None,
            clock=self._clock,
        )

    def _read(
        self, adapter: WeightsRef, *, shapes: dict[str, tuple[int, int]], fits: dict[str, str]
    ) -> Adapter:
        with self._weights.lease(adapter, **fits) as found:
            return read_adapter(found, adapter.digest, shapes, torch.device("cpu"))

    @property
    def _max_loras(self) -> int:
        return min(self._sizes.max_loras, self._limits.adapters)

    def _context_length(self, ref: ModelRef) -> int:
        return min(self._sizes.max_model_len or ref.base.context_length, ref.base.context_length)

    def _arguments(
        self, ref: ModelRef, folder: Path, of_tokenizer: Path, *, takes_adapters: bool
    ) -> dict[str, Any]:
        """Returns keyword arguments of AsyncEngineArgs."""
        arguments: dict[str, Any] = {
            "model": str(folder),
            # Used for grammars only; vLLM receives and returns token ids.
            "tokenizer": str(of_tokenizer),
            "generation_config": "vllm",
            "load_format": "safetensors",
            "dtype": ref.base.dtype,
            "max_model_len": self._context_length(ref),
            "max_num_seqs": self._limits.slots,
            "gpu_memory_utilization": self._sizes.gpu_memory_utilization,
            "enable_prefix_caching": True,
            "enforce_eager": self._eager,
            # Independent of the sampling settings.
            "logprobs_mode": "raw_logprobs",
            "max_logprobs": 20,
            "disable_log_stats": True,
        }
        if self._sizes.max_num_batched_tokens is not None:
            arguments["max_num_batched_tokens"] = self._sizes.max_num_batched_tokens
        if self._sizes.tensor_parallel_size > 1:
            arguments |= {
                "tensor_parallel_size": self._sizes.tensor_parallel_size,
                # Runs in child processes of this one, which holds the reservation. vLLM would otherwise ask
                # Ray for more GPUs.
                "distributed_executor_backend": "mp",
            }
        if takes_adapters:
            arguments |= {
                "enable_lora": True,
                "max_loras": self._max_loras,
                "max_cpu_loras": self._limits.adapters,
                "max_lora_rank": self._sizes.max_lora_rank,
            }
        return arguments


@dataclass(frozen=True)
class _Started:
    """A started vLLM with a model's weights, and what its engine needs to know about the model."""

    vllm: Vllm
    tokenizer: Any
    vocabulary: Vocabulary
    num_embeddings: int
    stop_tokens: frozenset[int]
    read: Callable[[WeightsRef], Adapter]
    adapted_numbers: int
    """Number of elements in an adapter of rank 1 on all linear layers."""
    llm: AsyncLLM
    context_length: int
    """Maximum number of tokens of prompt and answer."""


def _llm(vllm: Vllm, ref: ModelRef, arguments: dict[str, Any]) -> tuple[AsyncLLM, int]:
    """Returns vLLM and the number of tokens of its context. That is the planned number, unless vLLM measures
    less memory than planned; then it is the number for which vLLM says that there is room. Raises
    EngineStartFailed, with vLLM's output in the log."""
    alias, planned = ref.base.alias, arguments["max_model_len"]
    try:
        return _start_once(vllm, alias, arguments), planned
    except _TooLittleMemory as error:
        context = error.context // _CONTEXT_STEP * _CONTEXT_STEP
        if not min(LEAST_CONTEXT, planned) <= context < planned:
            raise error.failure from error
        _log.warning("%s is served with a context of %d tokens instead of %d.", alias, context, planned)
    try:
        return _start_once(vllm, alias, arguments | {"max_model_len": context}), context
    except _TooLittleMemory as error:
        raise error.failure from error


class _TooLittleMemory(Exception):
    """vLLM has too little memory for a whole context. `context` is the longest one that fits into its memory,
    in tokens."""

    def __init__(self, failure: EngineStartFailed, context: int) -> None:
        super().__init__(failure.message, context)
        self.failure = failure
        self.context = context


def _start_once(vllm: Vllm, alias: str, arguments: dict[str, Any]) -> AsyncLLM:
    with captured_output() as output:
        try:
            return vllm.start(**arguments)
        except Exception as error:
            failed: Exception = error
    # Read once the block has released the pipe, which ends when vLLM's processes have ended and freed the
    # device.
    printed = output()
    ours = start_failure(alias, failed, printed)
    _log.error("%s (%s)", ours.message, ours.cause, exc_info=failed)
    if (context := longest_context(failed, printed)) is not None:
        raise _TooLittleMemory(ours, context) from failed
    raise ours from failed


def no_four_bits(base: BaseSpec) -> InvalidConfiguration:
    return InvalidConfiguration(
        f"Model {base.alias}: the vLLM backend serves no base in 4 bits. Remove qlora_served_on from the "
        "catalogue, or use the embedded engine (TUNERY_ENGINE).",
        param="TUNERY_CATALOGUE",
    )


def outline(folder: Path) -> Any:
    """Returns the model in `folder` on the meta device, without weights."""
    config = read_config(folder)
    with LOADING, torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def _runs_without_towers(config: Any) -> bool:
    """Whether `config` is that of a model of text and images or sound whose text model vLLM can run by
    itself: without the memory for the towers, and without the image processor."""
    return config.get_text_config() is not config and config.model_type not in _NEED_TOWERS


def _shapes(outline: Any) -> dict[str, tuple[int, int]]:
    """Returns (in, out) of the model's linear layers by name."""
    return {
        name: (module.in_features, module.out_features)
        for name, module in outline.named_modules()
        if isinstance(module, nn.Linear)
    }


def _check_finite(folder: Path, digest: str) -> None:
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118  # Not a mapping.
                    if not bool(tensors.get_tensor(name).isfinite().all()):
                        raise CorruptArtefact(
                            f"{name} of the model {digest} holds numbers that are not finite."
                        )
        except SafetensorError as error:
            raise CorruptArtefact(f"The weights in {path.name} cannot be read: {error}") from error
