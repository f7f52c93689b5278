"""Builds embedding requests from bodies, and answers from the engine's vectors. Pure."""

import base64
import struct
import uuid

from cluster.contracts.classification import TextInput, TokensInput
from cluster.contracts.embedding import EmbeddingAnswer, EmbeddingInput, EmbeddingRequest
from cluster.contracts.generation import ModelRef
from service.api.schemas.base import InputUsage
from service.api.schemas.embeddings import Embedding, EmbeddingBody, EmbeddingList


def embedding_request(body: EmbeddingBody, model: ModelRef, tenant: str) -> EmbeddingRequest:
    return EmbeddingRequest(
        id=uuid.uuid4().hex, model=model, inputs=_inputs(body), dimensions=body.dimensions, tenant=tenant
    )


def embedding_list(body: EmbeddingBody, model: str, answer: EmbeddingAnswer) -> EmbeddingList:
    is_text = body.encoding_format == "base64"
    return EmbeddingList(
        data=[
            Embedding(index=index, embedding=vector if is_text else vector_of(vector))
            for index, vector in enumerate(answer.embeddings)
        ],
        model=model,
        usage=InputUsage(prompt_tokens=answer.prompt_tokens, total_tokens=answer.prompt_tokens),
    )


def _inputs(body: EmbeddingBody) -> list[EmbeddingInput]:
    match body.input:
        case str():
            return [TextInput(text=body.input)]
        case [int(), *_]:
            return [TokensInput.model_validate({"token_ids": body.input})]
    return [
        TextInput(text=item) if isinstance(item, str) else TokensInput.model_validate({"token_ids": item})
        for item in body.input
    ]


def vector_of(embedding: str) -> list[float]:
    """The numbers of an engine's embedding."""
    content = base64.b64decode(embedding)
    return list(struct.unpack(f"<{len(content) // 4}f", content))
