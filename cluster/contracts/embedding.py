"""Requests for embeddings of texts, and their answers."""

from typing import Annotated

from pydantic import Field

from cluster.contracts.classification import TextInput, TokensInput
from cluster.contracts.frozen import FrozenModel
from cluster.contracts.generation import ModelRef

MAX_INPUTS = 2048
MAX_TOKENS = 300_000
"""Tokens of all inputs together. Both limits are OpenAI's."""

EmbeddingInput = Annotated[TextInput | TokensInput, Field(discriminator="kind")]


class EmbeddingRequest(FrozenModel):
    id: str
    model: ModelRef
    """An encoder, with or without full tuned weights. A tuned one embeds with its body and ignores its
    classification head."""
    inputs: list[EmbeddingInput] = Field(min_length=1, max_length=MAX_INPUTS)
    dimensions: int | None = Field(default=None, ge=1)
    """If set, vectors are cut to this length and scaled to length 1 again."""
    tenant: str = ""
    """The project that makes the request."""


class EmbeddingAnswer(FrozenModel):
    embeddings: list[str]
    """In the order of the inputs, each scaled to length 1: little-endian float32 in base64."""
    prompt_tokens: int
    """Tokens of all inputs together."""
