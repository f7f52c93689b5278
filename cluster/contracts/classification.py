"""A request to sort texts, or their words, into a tuned encoder's classes, and the answer."""

from typing import Annotated, Literal

from pydantic import Field

from cluster.contracts.frozen import FrozenModel
from cluster.contracts.generation import ModelRef

MAX_INPUTS = 256


class TextInput(FrozenModel):
    kind: Literal["text"] = "text"
    text: str
    text_pair: str | None = None
    """Read beside the first, if the model was tuned on pairs."""


class WordsInput(FrozenModel):
    kind: Literal["words"] = "words"
    words: list[str] = Field(min_length=1)


class TokensInput(FrozenModel):
    """Token ids as the model reads them, special tokens included; what training's own scores are checked
    with."""

    kind: Literal["tokens"] = "tokens"
    token_ids: list[int] = Field(min_length=1)


ClassificationInput = Annotated[TextInput | WordsInput | TokensInput, Field(discriminator="kind")]


class ClassificationRequest(FrozenModel):
    id: str
    model: ModelRef
    """A full form of an encoder. It sorts either texts or words; token ids fit both."""
    inputs: list[ClassificationInput] = Field(min_length=1, max_length=MAX_INPUTS)
    tenant: str = ""
    """The project that asks."""


class ClassificationResult(FrozenModel):
    logprobs: list[list[float]]
    """One row of the classes' log-probabilities for a text, one a word for words; of token ids one for the
    text or one a token, by what the model sorts. A word of which the tokenizer makes nothing has the row of
    the sequence's first token."""
    prompt_tokens: int


class ClassificationAnswer(FrozenModel):
    classes: list[str]
    """What the columns of `logprobs` stand for."""
    results: list[ClassificationResult]
    """In the order of the inputs."""

    @property
    def prompt_tokens(self) -> int:
        """Of all inputs together."""
        return sum(result.prompt_tokens for result in self.results)
