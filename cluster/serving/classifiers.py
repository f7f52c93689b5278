"""All tuned encoders of one replica, loaded on demand."""

import asyncio
import functools
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from cluster.bases.resolve import base_folder
from cluster.contracts.classification import ClassificationAnswer, ClassificationRequest
from cluster.contracts.errors import CorruptArtefact, InvalidRequest, Overloaded
from cluster.contracts.generation import AdapterRef, ModelRef
from cluster.serving.classifier import Classifier
from cluster.serving.loading import ONE_AT_A_TIME, base_marks
from cluster.serving.loans import Loans
from cluster.serving.weights import WeightsFolder

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class _Desk:
    """A classifier and the queue before it."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.lock = asyncio.Lock()
        self.waiting = 0


class ClassifierPool:
    """Sends each request to the encoder that it names; at most `capacity` are in memory. Each answers one
    request at a time, in a thread, and at most `max_waiting` requests wait for it. Used from one event
    loop."""

    def __init__(self, weights: WeightsFolder, *, capacity: int, max_waiting: int = 256) -> None:
        self._weights = weights
        self._max_waiting = max_waiting
        self._desks: Loans[_Desk] = Loans(capacity=capacity, max_waiting=max_waiting)

    async def ensure(self, model: ModelRef) -> None:
        """Loads the model. Raises what `classify` raises of it."""
        await self._borrow(model)
        self._desks.give_back(model.weights)

    async def classify(self, request: ClassificationRequest) -> ClassificationAnswer:
        """Raises InvalidRequest if the model is no tuned encoder or the inputs do not suit it,
        ContextLengthExceeded, Overloaded, and what fetching the weights raises."""
        desk = await self._borrow(request.model)
        try:
            if desk.waiting >= self._max_waiting:
                raise Overloaded("Too many requests wait for this model; try again.")
            desk.waiting += 1
            try:
                async with desk.lock:
                    return await _to_the_end(desk.classifier, request)
            finally:
                desk.waiting -= 1
        finally:
            self._desks.give_back(request.model.weights)

    def names(self) -> list[str]:
        """Of the weights in memory."""
        return list(self._desks.loaded)

    async def close(self) -> None:
        await self._desks.close()

    async def _borrow(self, model: ModelRef) -> _Desk:
        adapter = _checked(model)
        return await self._desks.borrow(model.weights, functools.partial(self._open, model, adapter))

    async def _open(self, model: ModelRef, adapter: AdapterRef) -> _Desk:
        return _Desk(await asyncio.to_thread(load_classifier, self._weights, model, adapter))


def load_classifier(weights: WeightsFolder, ref: ModelRef, adapter: AdapterRef) -> Classifier:
    """Blocks. Raises what `WeightsFolder.borrowed` raises, and CorruptArtefact for numbers that are not
    finite."""
    base = base_folder(ref.base)
    tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False, local_files_only=True)
    fits = base_marks(base, tokenizer)
    with weights.borrowed(adapter, **fits) as folder:
        is_per_token = _is_per_token(folder)
        kind = AutoModelForTokenClassification if is_per_token else AutoModelForSequenceClassification
        with ONE_AT_A_TIME:
            model: Any = kind.from_pretrained(
                folder,
                dtype=_DTYPES[ref.base.dtype],
                trust_remote_code=False,
                use_safetensors=True,
                local_files_only=True,
            )
    for name, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            raise CorruptArtefact(f"{name} of the model {adapter.digest} holds numbers that are not finite.")
    model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval().requires_grad_(False)
    return Classifier(model, tokenizer, context_length=ref.base.context_length, is_per_token=is_per_token)


async def _to_the_end(classifier: Classifier, request: ClassificationRequest) -> ClassificationAnswer:
    """A thread cannot be stopped: who goes away waits for it, so that the next one finds the model free."""
    working = asyncio.ensure_future(asyncio.to_thread(classifier.classify, request.inputs))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        raise


def _is_per_token(folder: Path) -> bool:
    architecture = AutoConfig.from_pretrained(folder, local_files_only=True).architectures[0]
    return str(architecture).endswith("ForTokenClassification")


def _checked(model: ModelRef) -> AdapterRef:
    alias, adapter = model.base.alias, model.adapter
    if model.base.architecture != "encoder":
        raise InvalidRequest(
            f"A model tuned from {alias} continues text and has no classes; ask it for completions.",
            code="not_a_classifier",
            param="model",
        )
    if adapter is None:
        raise InvalidRequest(
            f"{alias} has no classes before it is tuned; ask a model that was tuned from it.",
            code="not_a_classifier",
            param="model",
        )
    if adapter.form != "full":
        raise InvalidRequest(
            f"A tuned encoder is served in its full form, and this one is of form '{adapter.form}'.",
            param="model",
        )
    return adapter
