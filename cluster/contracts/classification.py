"""Requests to classify texts or words with a tuned encoder, and their answers."""

from typing import Annotated, Literal

from pydantic import Field

from cluster.contracts.frozen import FrozenModel
from cluster.contracts.generation import ModelRef

MAX_INPUTS = 256


class TextInput(FrozenModel):
    kind: Literal["text"] = "text"
    text: str
    text_pair: str | None = None
    """The second text, if the model was tuned on pairs."""


class WordsInput(FrozenModel):
    kind: Literal["words"] = "words"
    words: list[str] = Field(min_length=1)


class TokensInput(FrozenModel):
    """Token ids as the model reads them, special tokens included. Used to check serving against the scores of
    training."""

    kind: Literal["tokens"] = "tokens"
    token_ids: list[int] = Field(min_length=1)


ClassificationInput = Annotated[TextInput | WordsInput | TokensInput, Field(discriminator="kind")]


class ClassificationRequest(FrozenModel):
    id: str
    model: ModelRef
    """An encoder with full tuned weights. It classifies either texts or words; token ids work with both."""
    inputs: list[ClassificationInput] = Field(min_length=1, max_length=MAX_INPUTS)
    tenant: str = ""
    """The project that makes the request."""


class ClassificationResult(FrozenModel):
    logprobs: list[list[float]]
    """Log-probabilities of the classes: one row for a text, or one row per word. Token ids get one row, or
    one row per token, depending on what the model classifies. A word without any tokens gets the row of the
    sequence's first token."""
    prompt_tokens: int


class ClassificationAnswer(FrozenModel):
    classes: list[str]
    """The classes of the columns of `logprobs`."""
    results: list[ClassificationResult]
    """One result per input, in the order of the inputs."""

    @property
    def prompt_tokens(self) -> int:
        """Tokens of all inputs together."""
        return sum(result.prompt_tokens for result in self.results)
