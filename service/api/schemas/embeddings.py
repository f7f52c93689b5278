"""`POST /v1/embeddings`: request and response."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from cluster.contracts.embedding import MAX_INPUTS
from service.api.schemas.base import Answer, Body, InputUsage
from service.api.schemas.completions import TokenIds

Text = Annotated[str, Field(min_length=1)]


class EmbeddingBody(Body):
    model: str
    """An encoder, or a model tuned from one."""
    input: (
        Text
        | Annotated[list[Text], Field(fail_fast=True, min_length=1, max_length=MAX_INPUTS)]
        | TokenIds
        | Annotated[list[TokenIds], Field(fail_fast=True, min_length=1, max_length=MAX_INPUTS)]
    )
    """A text, texts, one text as token ids, or several such lists. Token ids are used unchanged, so the
    caller must add any special tokens."""
    dimensions: Annotated[int, Field(ge=1)] | None = None
    """Truncate each vector to this length, and normalize it to length 1 again."""
    encoding_format: Literal["float", "base64"] | None = None
    """`float` if absent. `base64`: little-endian float32 numbers."""
    user: str | None = None
    """Accepted, but has no effect."""


Vector = TypeAliasType("Vector", list[float])
"""A vector of length 1."""


class Embedding(Answer):
    object: Literal["embedding"] = "embedding"
    index: int
    """Index of the input."""
    embedding: Vector | str


class EmbeddingList(Answer):
    object: Literal["list"] = "list"
    data: list[Embedding]
    """One result per input, in the order of the inputs."""
    model: str
    usage: InputUsage
