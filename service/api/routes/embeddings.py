"""`/v1/embeddings`: an encoder, tuned or not, embeds texts."""

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from cluster.contracts.abilities import check_embeds
from cluster.contracts.embedding import EmbeddingAnswer
from service.api.http.auth import Inferrer
from service.api.inference.answers.embeddings import embedding_list, embedding_request
from service.api.inference.context import InferenceRoute, UsesInference
from service.api.inference.gateway import answer_once
from service.api.inference.models import resolve_model
from service.api.schemas.embeddings import EmbeddingBody, EmbeddingList
from service.api.state import UsesAppState

router = APIRouter(route_class=InferenceRoute)


@router.post(
    "/embeddings",
    operation_id="embeddings_create",
    summary="Embed texts",
    tags=["Embeddings"],
    response_model=EmbeddingList,
)
async def create_embedding(
    body: EmbeddingBody, request: Request, caller: Inferrer, state: UsesAppState, inference: UsesInference
) -> Response:
    """Computes embeddings: the mean over a text's tokens, or the vector of its first token if the base's
    sentence-transformers files say so, normalized to length 1. A tuned model computes embeddings with its
    body, without its classification head."""
    name, model = await resolve_model(state, caller, body.model)
    check_embeds(model)
    engine_request = embedding_request(body, model, caller.tenant.project_id)
    engine = await inference.admit(request, caller, name, [engine_request])

    def written(answer: EmbeddingAnswer) -> str:
        return embedding_list(body, name, answer).model_dump_json()

    async def embed() -> str:
        answer = await engine.embed(engine_request)
        # Formatting thousands of vectors as decimal numbers would block other requests for too long.
        return await run_in_threadpool(written, answer)

    return await answer_once(request, embed())
