"""A tuned encoder in memory: texts or words in, log-probabilities of its classes out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from cluster.bases.encoder_inputs import encode_texts, encode_words
from cluster.contracts.classification import (
    ClassificationAnswer,
    ClassificationInput,
    ClassificationResult,
    TextInput,
    TokensInput,
    WordsInput,
)
from cluster.contracts.errors import ContextLengthExceeded, InvalidRequest

BATCH_TOKENS = 8192
"""Of one forward pass, padding included, unless one input alone is longer."""


@dataclass(frozen=True, slots=True)
class _Reading:
    token_ids: list[int]
    positions: list[int] | None
    """The tokens whose rows are wanted; None is all of them. A sequence's classifier ignores it."""


class Classifier:
    """transformers' sequence or token classifier with the tokenizer that it was tuned with. For one thread at
    a time."""

    def __init__(self, model: Any, tokenizer: Any, *, context_length: int, is_per_token: bool) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._context_length = context_length
        self._is_per_token = is_per_token
        self._num_embeddings: int = model.get_input_embeddings().num_embeddings
        self.classes: list[str] = [model.config.id2label[number] for number in range(model.config.num_labels)]

    def classify(self, inputs: Sequence[ClassificationInput]) -> ClassificationAnswer:
        """Raises InvalidRequest for inputs of the kind that the model does not sort, and
        ContextLengthExceeded."""
        readings = [self._read(place, given) for place, given in enumerate(inputs)]
        results: list[ClassificationResult | None] = [None] * len(readings)
        for batch in _batches(readings):
            rows = self._logprobs([readings[place].token_ids for place in batch])
            for place, row in zip(batch, rows, strict=True):
                results[place] = self._result(readings[place], row)
        return ClassificationAnswer(
            classes=self.classes, results=[result for result in results if result is not None]
        )

    def _read(self, place: int, given: ClassificationInput) -> _Reading:
        reading = self._encode(place, given)
        if len(reading.token_ids) > self._context_length:
            raise ContextLengthExceeded(
                f"This model reads {self._context_length} tokens. Input {place} has "
                f"{len(reading.token_ids)}; shorten it.",
                param=f"input[{place}]",
            )
        return reading

    def _encode(self, place: int, given: ClassificationInput) -> _Reading:
        match given:
            case TokensInput(token_ids=token_ids):
                for token in token_ids:
                    if not 0 <= token < self._num_embeddings:
                        raise InvalidRequest(
                            f"Input {place} holds token {token}; this model has tokens 0 to "
                            f"{self._num_embeddings - 1}.",
                            param=f"input[{place}]",
                        )
                return _Reading(token_ids, None)
            case TextInput() if not self._is_per_token:
                return _Reading(encode_texts(self._tokenizer, [(given.text, given.text_pair)])[0], None)
            case WordsInput() if self._is_per_token:
                encoded = encode_words(self._tokenizer, [given.words])[0]
                return _Reading(encoded.token_ids, [position or 0 for position in encoded.positions])
        wanted, got = ("lists of words", "a text") if self._is_per_token else ("texts", "a list of words")
        raise InvalidRequest(
            f"This model was tuned on {wanted}, and input {place} is {got}.",
            code="wrong_input",
            param=f"input[{place}]",
        )

    @torch.inference_mode()
    def _logprobs(self, rows: Sequence[Sequence[int]]) -> Iterator[list[list[float]]]:
        """Of each row, the log-probabilities: one list for the sequence, or one a token."""
        width = max(map(len, rows))
        device = self._model.device
        token_ids_BT = torch.zeros(len(rows), width, dtype=torch.int64)
        mask_BT = torch.zeros(len(rows), width, dtype=torch.int64)
        for number, row in enumerate(rows):
            token_ids_BT[number, : len(row)] = torch.tensor(row)
            mask_BT[number, : len(row)] = 1
        logits = self._model(input_ids=token_ids_BT.to(device), attention_mask=mask_BT.to(device)).logits
        logprobs = logits.float().log_softmax(-1).cpu()
        for number, row in enumerate(rows):
            yield logprobs[number, : len(row)].tolist() if self._is_per_token else [logprobs[number].tolist()]

    def _result(self, reading: _Reading, rows: list[list[float]]) -> ClassificationResult:
        if self._is_per_token and reading.positions is not None:
            rows = [rows[position] for position in reading.positions]
        return ClassificationResult(logprobs=rows, prompt_tokens=len(reading.token_ids))


def _batches(readings: Sequence[_Reading]) -> Iterator[list[int]]:
    """The places of `readings`, by length, in batches of BATCH_TOKENS when padded."""
    batch: list[int] = []
    for place in sorted(range(len(readings)), key=lambda place: len(readings[place].token_ids)):
        if batch and (len(batch) + 1) * len(readings[place].token_ids) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
