"""`/v1/completions` and `/v1/chat/completions`."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from cluster.contracts.abilities import check_generates
from service.api.http.auth import Inferrer
from service.api.inference.answers.chat import chat_answer
from service.api.inference.answers.completions import CompletionAnswer
from service.api.inference.answers.prompts import chat_request, completion_requests
from service.api.inference.answers.response_meta import ResponseMeta
from service.api.inference.context import InferenceRoute, UsesInference
from service.api.inference.gateway import answer_streamed, answer_whole
from service.api.inference.models import resolve_model
from service.api.schemas.chat import ChatCompletion, ChatCompletionBody, ChatCompletionChunk
from service.api.schemas.completions import Completion, CompletionBody
from service.api.state import UsesAppState

router = APIRouter(route_class=InferenceRoute)


def _streams(chunk: type) -> dict[int | str, dict[str, Any]]:
    """Documents that with `stream` the answer is server-sent events of this model, followed by `data:
    [DONE]`."""
    schema = {"$ref": f"#/components/schemas/{chunk.__name__}"}
    return {200: {"content": {"text/event-stream": {"schema": schema}}}}


@router.post(
    "/completions",
    operation_id="completions_create",
    summary="Continue a text",
    tags=["Completions"],
    response_model=Completion,
    responses=_streams(Completion),
)
async def create_completion(
    body: CompletionBody, request: Request, caller: Inferrer, state: UsesAppState, inference: UsesInference
) -> Response:
    name, model = await resolve_model(state, caller, body.model)
    check_generates(model)
    engine_requests = completion_requests(body, model, caller.tenant.project_id)
    answer = CompletionAnswer(
        ResponseMeta.make("cmpl", engine_requests[0].id, name, model),
        num_prompts=len(engine_requests),
        n=body.n or 1,
        wants_logprobs=body.logprobs is not None,
        wants_usage_chunk=body.wants_usage_chunk,
        is_streamed=bool(body.stream),
    )
    engine = await inference.admit(request, caller, name, engine_requests)
    if not body.stream:
        return await answer_whole(request, engine, engine_requests, answer)
    return await answer_streamed(request, engine, engine_requests, answer)


@router.post(
    "/chat/completions",
    operation_id="chat_completions_create",
    summary="Answer a conversation",
    tags=["Chat"],
    response_model=ChatCompletion,
    responses=_streams(ChatCompletionChunk),
)
async def create_chat_completion(
    body: ChatCompletionBody,
    request: Request,
    caller: Inferrer,
    state: UsesAppState,
    inference: UsesInference,
) -> Response:
    name, model = await resolve_model(state, caller, body.model)
    check_generates(model)
    engine_request = chat_request(body, model, caller.tenant.project_id)
    answer = chat_answer(body, engine_request, name)
    engine = await inference.admit(request, caller, name, [engine_request])
    if not body.stream:
        return await answer_whole(request, engine, [engine_request], answer)
    return await answer_streamed(request, engine, [engine_request], answer)
