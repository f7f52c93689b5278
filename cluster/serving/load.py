"""From a model's name to an embedded engine with its weights in memory."""

import asyncio
import functools
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from transformers import AutoTokenizer

from cluster.bases.resolve import base_folder
from cluster.contracts.errors import CorruptArtefact
from cluster.contracts.generation import AdapterRef, ModelRef
from cluster.serving.adapted_model import AdaptedModel
from cluster.serving.adapter import Adapter
from cluster.serving.embedded import EmbeddedEngine
from cluster.serving.job import Limits
from cluster.serving.loading import base_marks, check_decoder
from cluster.serving.lora_files import read_adapter
from cluster.serving.model import find_runner, load_model
from cluster.serving.prefix import read_prefix
from cluster.serving.vocabulary import Vocabulary
from cluster.serving.weights import WeightsFolder


class EmbeddedLoader:
    """Makes the EmbeddedEngine that a ModelRef needs: of its base, or of the full fine-tune that it names,
    which keeps its base's tokenizer. Adapters are the engine's own affair later."""

    def __init__(self, weights: WeightsFolder, limits: Limits) -> None:
        self._weights = weights
        self._limits = limits

    async def __call__(self, model: ModelRef) -> EmbeddedEngine:
        """Raises InvalidRequest for an encoder, InvalidConfiguration for a base that this engine cannot run,
        and what fetching raises."""
        check_decoder(model.base)
        # The engine itself is made here, because it belongs to this event loop.
        return (await asyncio.to_thread(self._prepare, model))()

    def _prepare(self, ref: ModelRef) -> Callable[[], EmbeddedEngine]:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        folder = base_folder(ref.base)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        fits = base_marks(folder, tokenizer)
        full = ref.adapter if ref.adapter is not None and ref.adapter.form == "full" else None
        with self._weights.borrowed(full, **fits) if full else nullcontext(folder) as of_model:
            model = load_model(of_model, dtype=ref.base.dtype, device=device)
        if full:
            _check_finite(model, full.digest)
        adapted = AdaptedModel(model)
        runner = find_runner(adapted, max_rows=self._limits.slots, max_length=ref.base.context_length)

        def load_adapter(adapter: AdapterRef) -> Adapter:
            with self._weights.borrowed(adapter, **fits) as found:
                if adapter.form == "prefix":
                    return read_prefix(found, adapter.digest, adapted.states, device)
                return read_adapter(found, adapter.digest, adapted.shapes, device)

        return functools.partial(
            EmbeddedEngine,
            ref.base,
            runner,
            tokenizer,
            vocabulary=Vocabulary(tokenizer),
            stop_tokens=_stop_tokens(model, tokenizer),
            load_adapter=load_adapter,
            limits=self._limits,
            full_digest=full.digest if full else None,
        )


def _check_finite(model: Any, digest: str) -> None:
    for name, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            raise CorruptArtefact(f"{name} of the model {digest} holds numbers that are not finite.")


def _stop_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """The ends of text and of turn that the model's files name."""
    named = model.generation_config.eos_token_id
    listed = named if isinstance(named, list) else [named]
    return frozenset(token for token in [*listed, tokenizer.eos_token_id] if token is not None)
