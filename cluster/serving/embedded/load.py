"""Loads the embedded engine of a model."""

import asyncio
import functools
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from cluster.bases.fit import check_usable
from cluster.bases.pretrained import read_config, read_tokenizer, stop_tokens
from cluster.bases.resolve import base_folder, not_available
from cluster.bases.text.vocabulary import Vocabulary
from cluster.contracts.abilities import check_generates
from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import CorruptArtefact, InvalidConfiguration
from cluster.contracts.generation import ModelRef
from cluster.contracts.weights import WeightsRef
from cluster.serving.embedded.engine import EmbeddedEngine
from cluster.serving.embedded.lora.adapted_model import AdaptedModel
from cluster.serving.embedded.lora.merge import merged_model
from cluster.serving.embedded.model import find_runner, load_model, served_dtype
from cluster.serving.embedded.prefix import read_prefix
from cluster.serving.fairness.reserved_slots import reserved_slots
from cluster.serving.limits import EngineLimits
from cluster.serving.residency.footprint import Footprint, kept_bytes, loaded_bytes, stored_bytes, token_bytes
from cluster.serving.residency.loading import base_digests
from cluster.serving.weights.adapter import Adapter
from cluster.serving.weights.folder import WeightsFolder
from cluster.serving.weights.lora_files import read_adapter

_log = logging.getLogger(__name__)


class EmbeddedLoader:
    """Creates the EmbeddedEngine for a ModelRef, with its base's weights or those of the full fine-tune that
    it names, which uses the base's tokenizer. The engine itself loads adapters later."""

    def __init__(
        self, weights: WeightsFolder, limits: EngineLimits, *, budget: int | None = None, merges: bool = False
    ) -> None:
        """`budget` is the memory that all models may use together, in bytes. An engine gets fewer slots than
        in `limits` if it would not fit otherwise. `merges`: a LoRA adapter that the ModelRef names is merged
        into the engine's own weights."""
        self._merges = merges
        self._weights = weights
        self._limits = limits
        self._budget = budget
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    async def __call__(self, model: ModelRef) -> EmbeddedEngine:
        """Creates the engine. Raises InvalidRequest for an encoder, Unavailable for a base that this engine
        cannot run, and what fetching the weights raises."""
        check_generates(model)
        # The engine is created here because it belongs to this event loop.
        return (await asyncio.to_thread(self._prepare, model))()

    async def expected_bytes(self, model: ModelRef) -> int:
        check_generates(model)
        return await asyncio.to_thread(self._expected, model.base)

    def _expected(self, base: BaseSpec) -> int:
        # A full fine-tune is as large as its base.
        folder, dtype = base_folder(base), served_dtype(base.dtype, self._device)
        check_usable(base, folder)
        config = read_config(folder)
        weights = stored_bytes(folder, config, dtype, self._device)
        footprint = self._footprint(base, weights, token_bytes(config, dtype))
        return footprint.total(self._slots(footprint))

    def _footprint(self, base: BaseSpec, weights: int, of_token: int) -> Footprint:
        return Footprint(weights, of_token * base.context_length, self._limits.adapter_bytes or 0)

    def _slots(self, footprint: Footprint) -> int:
        return footprint.slots_within(self._budget, wanted=self._limits.slots)

    def _prepare(self, ref: ModelRef) -> Callable[[], EmbeddedEngine]:
        device = self._device
        folder = base_folder(ref.base)
        check_usable(ref.base, folder)
        tokenizer = read_tokenizer(folder)
        fits = base_digests(folder, tokenizer)

        def load_base() -> Any:
            return load_model(folder, dtype=ref.base.dtype, device=device, is_quantized=ref.is_quantized)

        own = ref.adapter if self._merges else ref.full
        if own is None:
            model = load_base()
        else:
            with self._weights.lease(own, **fits) as found:
                if own.form == "full":
                    model = load_model(found, dtype=ref.base.dtype, device=device)
                else:
                    model = merged_model(
                        load_base, lambda shapes: read_adapter(found, own.digest, shapes, device)
                    )
            _check_finite(model, own.digest)
        adapted = AdaptedModel(model)
        of_token = kept_bytes(adapted.states, adapted.dtype) or token_bytes(adapted.config, adapted.dtype)
        footprint = self._footprint(ref.base, loaded_bytes(model), of_token)
        limits = replace(self._limits, slots=self._slots(footprint))
        if limits.slots < self._limits.slots:
            _log.warning(
                "%s has %d slots of %d: with all of them it would use %d bytes of memory, and all models "
                "together may use %d.",
                ref.base.alias,
                limits.slots,
                self._limits.slots,
                footprint.total(self._limits.slots),
                self._budget,
            )
        max_rows = limits.slots + reserved_slots(limits.slots)
        try:
            runner = find_runner(adapted, max_rows=max_rows, max_length=ref.base.context_length)
        except InvalidConfiguration as error:
            raise not_available(ref.base, error.message.rstrip(".")) from error

        def load_adapter(adapter: WeightsRef) -> Adapter:
            with self._weights.lease(adapter, **fits) as found:
                if adapter.form == "prefix":
                    return read_prefix(found, adapter.digest, adapted.states, device)
                return read_adapter(found, adapter.digest, adapted.shapes, device)

        return functools.partial(
            EmbeddedEngine,
            ref.base,
            runner,
            tokenizer,
            vocabulary=Vocabulary(tokenizer),
            stop_tokens=stop_tokens(folder, tokenizer),
            load_adapter=load_adapter,
            limits=limits,
            footprint=footprint,
            own_digest=own.digest if own else None,
        )


def _check_finite(model: Any, digest: str) -> None:
    for name, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            raise CorruptArtefact(f"{name} of the model {digest} holds numbers that are not finite.")
