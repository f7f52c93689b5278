"""An encoder in memory: takes texts, words or token ids, and returns class log-probabilities or
embeddings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from cluster.bases.pooling import Pooling, read_pooling
from cluster.bases.text.encoder_inputs import encode_texts, encode_words
from cluster.bases.text.text_size import check_size
from cluster.contracts.classification import ClassificationInput, TextInput, TokensInput, WordsInput
from cluster.contracts.context_length import too_many_tokens
from cluster.contracts.errors import CorruptArtefact, InvalidRequest
from cluster.serving.residency.footprint import loaded_bytes

PASS_TOKENS = 8192
"""Maximum tokens of one forward pass, including padding, unless a single input is longer."""

InputKind = Literal["texts", "words"]


@dataclass(frozen=True, slots=True)
class TokenizedInput:
    token_ids: list[int]
    positions: list[int] | None = None
    """Positions of the tokens whose classes are wanted; None means all. Not used for texts."""


class Encoder:
    """A transformers encoder, with a classification head once it is tuned, and its tokenizer. Not
    thread-safe."""

    def __init__(
        self, model: Any, tokenizer: Any, *, base: Path, context_length: int, input_kind: InputKind | None
    ) -> None:
        """`base` is the folder whose files define the pooling; `input_kind` is None for a base
        itself."""
        self._model, self._tokenizer, self._base = model, tokenizer, base
        self._context_length = context_length
        self._num_embeddings: int = model.get_input_embeddings().num_embeddings
        self._input_kind = input_kind
        self.width: int = model.config.hidden_size
        labels: dict[int, str] = model.config.id2label if input_kind else {}
        self.classes = [labels[number] for number in range(len(labels))]

    @cached_property
    def pooling(self) -> Pooling:
        """How token vectors are pooled. Raises InvalidConfiguration if that is not supported."""
        return read_pooling(self._base)

    @property
    def num_bytes(self) -> int:
        """Memory of its weights."""
        return loaded_bytes(self._model)

    def check_input_kind(self, inputs: Sequence[ClassificationInput]) -> None:
        """Raises InvalidRequest (`wrong_input`) for inputs of a kind that the model does not classify."""
        for index, given in enumerate(inputs):
            match given:
                case TextInput() if self._input_kind == "words":
                    wanted, got = "lists of words", "a text"
                case WordsInput() if self._input_kind == "texts":
                    wanted, got = "texts", "a list of words"
                case _:
                    continue
            raise InvalidRequest(
                f"This model was tuned on {wanted}, and input {index} is {got}.",
                code="wrong_input",
                param=_param(index, inputs),
            )

    def tokenize(
        self, inputs: Sequence[ClassificationInput], *, most_tokens: int | None = None
    ) -> list[TokenizedInput]:
        """Tokenizes inputs. Raises InvalidRequest for unknown token ids and for more than `most_tokens` in
        total, and ContextLengthExceeded. Stops at the first refused input."""
        tokenized: list[TokenizedInput] = []
        total = 0
        for index, given in enumerate(inputs):
            param = _param(index, inputs)
            tokenized.append(self._encode(index, given, param))
            if (num_tokens := len(tokenized[-1].token_ids)) > self._context_length:
                raise too_many_tokens(self._context_length, prompt=num_tokens, param=param)
            total += num_tokens
            if most_tokens is not None and total > most_tokens:
                raise InvalidRequest(
                    f"The inputs up to {index} have {total} tokens together; a request may have "
                    f"{most_tokens}. Send them in several requests.",
                    code="max_tokens_per_request",
                    param="input",
                )
        return tokenized

    @torch.inference_mode()
    def classify(self, tokenized: Sequence[TokenizedInput]) -> list[list[list[float]]]:
        """Returns the classes' log-probabilities for each input: one row for a text, or one row per wanted
        token."""
        logits = self._run(self._model, tokenized).logits
        logprobs = _finite(logits.float().log_softmax(-1))
        if self._input_kind == "texts":
            return [[row] for row in logprobs.tolist()]
        found = []
        for number, item in enumerate(tokenized):
            rows = logprobs[number, : len(item.token_ids)].tolist()
            wanted = range(len(rows)) if item.positions is None else item.positions
            found.append([rows[position] for position in wanted])
        return found

    @torch.inference_mode()
    def embed(self, tokenized: Sequence[TokenizedInput], *, dimensions: int | None = None) -> list[bytes]:
        """Returns a vector of length 1 for each input, pooled in float32, as little-endian float32 bytes.
        With `dimensions`, only its first components are returned, scaled to length 1 again. Raises
        InvalidConfiguration."""
        pooling = self.pooling
        hidden_BTH = self._run(self._model.base_model, tokenized).last_hidden_state.float()
        if pooling == "cls":
            pooled_BH = hidden_BTH[:, 0]
        else:
            lengths_B1 = torch.tensor([[len(item.token_ids)] for item in tokenized]).to(hidden_BTH.device)
            mask_BT = torch.arange(hidden_BTH.shape[1], device=hidden_BTH.device) < lengths_B1
            pooled_BH = (hidden_BTH * mask_BT[..., None]).sum(1) / lengths_B1
        vectors = _finite(normalize(pooled_BH[:, :dimensions], dim=-1))
        return [row.tobytes() for row in vectors.numpy().astype("<f4")]

    def _encode(self, index: int, given: ClassificationInput, param: str) -> TokenizedInput:
        match given:
            case TextInput():
                self._check_size(param, given.text + (given.text_pair or ""))
                return TokenizedInput(encode_texts(self._tokenizer, [(given.text, given.text_pair)])[0])
            case WordsInput():
                self._check_size(param, " ".join(given.words))
                encoded = encode_words(self._tokenizer, [given.words])[0]
                return TokenizedInput(encoded.token_ids, [position or 0 for position in encoded.positions])
            case TokensInput(token_ids=token_ids):
                for token in token_ids:
                    if not 0 <= token < self._num_embeddings:
                        raise InvalidRequest(
                            f"Input {index} holds token {token}; this model has tokens 0 to "
                            f"{self._num_embeddings - 1}.",
                            param=param,
                        )
                return TokenizedInput(token_ids)

    def _check_size(self, param: str, text: str) -> None:
        check_size(self._tokenizer, text, context_length=self._context_length, param=param)

    def _run(self, model: Any, tokenized: Sequence[TokenizedInput]) -> Any:
        """Runs all rows in one pass, padded on the right."""
        width = max(len(item.token_ids) for item in tokenized)
        token_ids_BT = torch.zeros(len(tokenized), width, dtype=torch.int64)
        mask_BT = torch.zeros(len(tokenized), width, dtype=torch.int64)
        for number, item in enumerate(tokenized):
            token_ids_BT[number, : len(item.token_ids)] = torch.tensor(item.token_ids)
            mask_BT[number, : len(item.token_ids)] = 1
        device = model.device
        return model(input_ids=token_ids_BT.to(device), attention_mask=mask_BT.to(device))


def split_passes(tokenized: Sequence[TokenizedInput]) -> Iterator[list[int]]:
    """Yields the indices of `tokenized`, ordered by length, in groups of at most PASS_TOKENS including
    padding."""
    group: list[int] = []
    for index in sorted(range(len(tokenized)), key=lambda index: len(tokenized[index].token_ids)):
        if group and (len(group) + 1) * len(tokenized[index].token_ids) > PASS_TOKENS:
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def _param(index: int, inputs: Sequence[Any]) -> str:
    """Returns the name of an input in the client's request."""
    return f"input[{index}]" if len(inputs) > 1 else "input"


def _finite(numbers: Tensor) -> Tensor:
    numbers = numbers.cpu()
    if not bool(numbers.isfinite().all()):
        raise CorruptArtefact("The model's answer holds numbers that are not finite.")
    return numbers
