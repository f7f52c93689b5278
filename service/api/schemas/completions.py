"""`POST /v1/completions`: request and response."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from service.api.schemas.base import Answer, Body, Piece
from service.api.schemas.sampling import FinishReason, SamplingBody, TokenId, Usage

TokenIds = Annotated[list[TokenId], Field(fail_fast=True, min_length=1)]


class CompletionExtension(Body):
    """Tunery's additions to OpenAI's request."""

    split_special_tokens: bool = False
    """Treat special tokens in a text prompt, such as `<|im_start|>`, as ordinary text. By default they are
    control tokens, because the caller of this route writes the whole prompt, including any chat template."""


class CompletionBody(SamplingBody):
    prompt: (
        str
        | Annotated[list[str], Field(fail_fast=True, min_length=1)]
        | TokenIds
        | Annotated[list[TokenIds], Field(fail_fast=True, min_length=1)]
        | None
    )
    """A text, texts, one text as token ids, or several such lists. null starts from an empty prompt."""
    best_of: Annotated[int, Field(ge=0, le=20)] | None = None
    """Only the value of `n` is accepted."""
    echo: bool | None = None
    """Start the answer with the prompt."""
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    """Return log-probabilities of this many of the most likely tokens at each position, and of the chosen
    one."""
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    """16 if absent. 0 is only useful with `echo`: it scores the prompt."""
    suffix: str | None = None
    """Not supported: refused unless null."""
    tunery: CompletionExtension | None = None


TopLogprobs = TypeAliasType("TopLogprobs", dict[str, float])
"""Log-probability by token."""


class CompletionLogprobs(Answer):
    tokens: list[str]
    token_logprobs: list[float | None]
    """Null for the first token of an echoed prompt."""
    top_logprobs: list[TopLogprobs | None]
    text_offset: list[int]
    """Offsets in characters from the beginning of the choice's text."""


class CompletionChoice(Answer):
    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReason | None
    """Null in the chunks of a stream, except the choice's last."""


class Completion(Piece):
    """An answer, or a chunk of a streamed one."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: Usage | None = None
