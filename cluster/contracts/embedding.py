"""A request for the vectors that an encoder, tuned or not, makes of texts, and the answer."""

from typing import Annotated

from pydantic import Field

from cluster.contracts.classification import TextInput, TokensInput
from cluster.contracts.frozen import FrozenModel
from cluster.contracts.generation import ModelRef

MAX_INPUTS = 2048
MAX_TOKENS = 300_000
"""Of all inputs together. Both limits are OpenAI's."""

EmbeddingInput = Annotated[TextInput | TokensInput, Field(discriminator="kind")]


class EmbeddingRequest(FrozenModel):
    id: str
    model: ModelRef
    """An encoder, or a full form of one: then its body answers, and not its classes."""
    inputs: list[EmbeddingInput] = Field(min_length=1, max_length=MAX_INPUTS)
    dimensions: int | None = Field(default=None, ge=1)
    """Only so many of the first numbers of each vector, scaled to length 1 again."""
    tenant: str = ""
    """The project that asks."""


class EmbeddingAnswer(FrozenModel):
    embeddings: list[str]
    """In the order of the inputs, each of length 1: float32, little-endian, in base64."""
    prompt_tokens: int
    """Of all inputs together."""
