"""Builds classification requests from bodies, and answers from the engine's log-probabilities. Pure."""

import math
import uuid
from collections.abc import Sequence

from cluster.contracts.classification import (
    ClassificationAnswer,
    ClassificationInput,
    ClassificationRequest,
    TextInput,
    WordsInput,
)
from cluster.contracts.generation import ModelRef
from service.api.inference.answers.response_meta import ResponseMeta
from service.api.schemas.base import InputUsage
from service.api.schemas.classifications import (
    Classification,
    ClassificationBody,
    ClassifiedText,
    ClassifiedWord,
    ClassifiedWords,
    TextPair,
)


def classification_request(body: ClassificationBody, model: ModelRef, tenant: str) -> ClassificationRequest:
    items = [body.input] if isinstance(body.input, str) else body.input
    return ClassificationRequest(
        id=uuid.uuid4().hex, model=model, inputs=[_input(item) for item in items], tenant=tenant
    )


def classification(
    meta: ResponseMeta, request: ClassificationRequest, answer: ClassificationAnswer
) -> Classification:
    data: list[ClassifiedText | ClassifiedWords] = []
    for index, (item, result) in enumerate(zip(request.inputs, answer.results, strict=True)):
        if isinstance(item, WordsInput):
            pairs = zip(item.words, result.logprobs, strict=True)
            words = [_word(word, answer.classes, logprobs) for word, logprobs in pairs]
            data.append(ClassifiedWords(index=index, tokens=words))
        else:
            (logprobs,) = result.logprobs
            data.append(_text(index, answer.classes, logprobs))
    num_tokens = answer.prompt_tokens
    return Classification(
        id=meta.id,
        created=meta.created,
        model=meta.model,
        data=data,
        usage=InputUsage(prompt_tokens=num_tokens, total_tokens=num_tokens),
    )


def _input(item: str | list[str] | TextPair) -> ClassificationInput:
    match item:
        case str():
            return TextInput(text=item)
        case TextPair():
            return TextInput(text=item.text, text_pair=item.text_pair)
    return WordsInput(words=item)


def _text(index: int, classes: Sequence[str], logprobs: Sequence[float]) -> ClassifiedText:
    scores = {label: math.exp(logprob) for label, logprob in zip(classes, logprobs, strict=True)}
    label, score = _best(scores)
    return ClassifiedText(index=index, label=label, score=score, scores=scores)


def _word(word: str, classes: Sequence[str], logprobs: Sequence[float]) -> ClassifiedWord:
    label, score = _best({label: math.exp(logprob) for label, logprob in zip(classes, logprobs, strict=True)})
    return ClassifiedWord(word=word, label=label, score=score)


def _best(scores: dict[str, float]) -> tuple[str, float]:
    """Returns the first of the most likely classes. A probability just above 1 is a rounding error."""
    label = max(scores, key=scores.__getitem__)
    return label, min(scores[label], 1.0)
