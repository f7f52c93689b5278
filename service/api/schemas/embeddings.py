"""`POST /v1/embeddings`: request and answer."""

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
    """A text, texts, one text as token ids, or several so. Token ids are read as they are: the special tokens
    that a text would get are for the caller to add."""
    dimensions: Annotated[int, Field(ge=1)] | None = None
    """Only so many of the first numbers of each vector, which is scaled to length 1 again."""
    encoding_format: Literal["float", "base64"] | None = None
    """`base64`: float32 numbers, little-endian. `float` when absent."""
    user: str | None = None
    """Accepted and without effect."""


Vector = TypeAliasType("Vector", list[float])
"""Of length 1."""


class Embedding(Answer):
    object: Literal["embedding"] = "embedding"
    index: int
    """Of the input."""
    embedding: Vector | str


class EmbeddingList(Answer):
    object: Literal["list"] = "list"
    data: list[Embedding]
    """In the order of the inputs."""
    model: str
    usage: InputUsage
