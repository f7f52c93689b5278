"""Embeddings for graders that compare them, computed by the encoder that the operator has named."""

import uuid
from collections.abc import Mapping, Sequence

from fastapi import Request

from cluster.contracts.classification import TextInput
from cluster.contracts.embedding import EmbeddingRequest
from cluster.contracts.errors import ContextLengthExceeded, InvalidRequest
from cluster.contracts.generation import ModelRef
from cluster.grading.grade import AnyGrader, cosine_graders
from service.api.http.auth import INFER
from service.api.http.connection import while_connected
from service.api.inference.answers.embeddings import vector_of
from service.api.inference.context import InferenceContext
from service.api.state import AppState
from service.db.organization.api_keys import Principal


def grading_model(state: AppState, grader: AnyGrader) -> ModelRef | None:
    """The embedding model that `grader` needs; None if it needs none.

    Raises InvalidRequest (`unsupported_parameter`) if it needs one and the operator has named none."""
    needed = cosine_graders(grader)
    if not needed:
        return None
    base = state.catalogue.get(state.settings.grader_embedding_model or "")
    if base is None or base.architecture != "encoder":
        place = next(iter(needed))
        raise InvalidRequest(
            "The metric 'cosine' is not available: it needs an embedding model, and this server has none for "
            "it. Its operator may name an encoder with TUNERY_GRADER_EMBEDDING_MODEL.",
            code="unsupported_parameter",
            param=f"grader.{f'graders.{place}.' if place else ''}evaluation_metric",
        )
    return ModelRef(base=base)


async def embed_texts(
    texts: Sequence[str],
    model: ModelRef,
    request: Request,
    caller: Principal,
    inference: InferenceContext,
) -> Mapping[str, Sequence[float]]:
    """Returns vectors of length 1 by text, counted and limited like any other request of the caller; empty if
    a text is longer than the model allows.

    Raises PermissionDenied if the caller's key may not use models, and what `InferenceContext.admit` and the
    engine raise."""
    INFER.check(caller)
    engine_request = EmbeddingRequest(
        id=uuid.uuid4().hex,
        model=model,
        inputs=[TextInput(text=text) for text in texts],
        tenant=caller.tenant.project_id,
    )
    try:
        engine = await inference.admit(request, caller, model.base.alias, [engine_request])
        answer = await while_connected(request, engine.embed(engine_request))
    except ContextLengthExceeded:
        return {}
    return dict(zip(texts, map(vector_of, answer.embeddings), strict=True))
