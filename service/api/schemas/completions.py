"""`POST /v1/completions`: request and answer."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from service.api.schemas.base import Answer, Body, Piece
from service.api.schemas.sampling import FinishReason, SamplingBody, Usage

TokenIds = Annotated[list[Annotated[int, Field(ge=0)]], Field(fail_fast=True, min_length=1)]


class CompletionExtension(Body):
    """What Tunery adds to OpenAI's request."""

    split_special_tokens: bool = False
    """Special tokens in a text prompt, such as `<|im_start|>`, are read as ordinary text. By default they are
    control tokens, because the caller of this route writes the whole prompt, chat template included."""


class CompletionBody(SamplingBody):
    prompt: (
        str
        | Annotated[list[str], Field(fail_fast=True, min_length=1)]
        | TokenIds
        | Annotated[list[TokenIds], Field(fail_fast=True, min_length=1)]
        | None
    )
    """A text, texts, one text as token ids, or several so. null: nothing precedes the answer."""
    best_of: Annotated[int, Field(ge=0, le=20)] | None = None
    """Only values up to `n`, which change nothing."""
    echo: bool | None = None
    """The answer begins with the prompt."""
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    """This many of the most likely tokens at each position, and the chosen one."""
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    """16 when absent; 0 only makes sense with `echo`: it scores the prompt."""
    suffix: str | None = None
    """Not supported; refused unless null."""
    tunery: CompletionExtension | None = None


TopLogprobs = TypeAliasType("TopLogprobs", dict[str, float])
"""Log-probability by token."""


class CompletionLogprobs(Answer):
    tokens: list[str]
    token_logprobs: list[float | None]
    """Null for the first token of an echoed prompt."""
    top_logprobs: list[TopLogprobs | None]
    text_offset: list[int]
    """Characters from the beginning of the choice's text."""


class CompletionChoice(Answer):
    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReason | None
    """Null in the chunks of a stream before the choice's last."""


class Completion(Piece):
    """An answer, or a chunk of one when streamed."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: Usage | None = None
