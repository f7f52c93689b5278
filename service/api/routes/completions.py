"""`/v1/completions` and `/v1/chat/completions`: from a model's name to its answer."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from cluster.contracts.abilities import check_generates
from service.api.http.auth import Inferrer
from service.api.inference.answers.chat import ChatAnswer
from service.api.inference.answers.completions import CompletionAnswer
from service.api.inference.answers.prompts import chat_request, completion_requests
from service.api.inference.answers.tally import Heading
from service.api.inference.gateway import answer_streamed, answer_whole
from service.api.inference.serving import ServingRoute, UsesServing
from service.api.routes.models import resolve
from service.api.schemas.chat import ChatCompletion, ChatCompletionBody, ChatCompletionChunk, NamedTool
from service.api.schemas.completions import Completion, CompletionBody
from service.api.state import UsesParts

router = APIRouter(route_class=ServingRoute)


def _streams(chunk: type) -> dict[int | str, dict[str, Any]]:
    """Documents that with `stream` the answer is server-sent events of this model, then `data: [DONE]`."""
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
    body: CompletionBody, request: Request, caller: Inferrer, parts: UsesParts, serving: UsesServing
) -> Response:
    model = await resolve(parts, caller.tenant, body.model)
    check_generates(model)
    asked = completion_requests(body, model, caller.tenant.project_id)
    answer = CompletionAnswer(
        Heading.make("cmpl", asked[0].id, body.model, model),
        num_prompts=len(asked),
        n=body.n or 1,
        wants_logprobs=body.logprobs is not None,
        wants_usage_chunk=body.wants_usage_chunk,
    )
    engine = serving.for_caller(caller, body.model)
    if not body.stream:
        return await answer_whole(request, engine, asked, answer)
    return await answer_streamed(request, engine, asked, answer, wants_usage_chunk=body.wants_usage_chunk)


@router.post(
    "/chat/completions",
    operation_id="chat_completions_create",
    summary="Answer a conversation",
    tags=["Chat"],
    response_model=ChatCompletion,
    responses=_streams(ChatCompletionChunk),
)
async def create_chat_completion(
    body: ChatCompletionBody, request: Request, caller: Inferrer, parts: UsesParts, serving: UsesServing
) -> Response:
    model = await resolve(parts, caller.tenant, body.model)
    check_generates(model)
    asked = chat_request(body, model, caller.tenant.project_id)
    answer = ChatAnswer(
        Heading.make("chatcmpl", asked.id, body.model, model),
        n=body.n or 1,
        wants_logprobs=bool(body.logprobs),
        wants_usage_chunk=body.wants_usage_chunk,
        has_tools=asked.sampling.tool_use is not None,
        is_call_named=isinstance(body.choice, NamedTool),
        has_functions=body.functions is not None,
    )
    engine = serving.for_caller(caller, body.model)
    if not body.stream:
        return await answer_whole(request, engine, [asked], answer)
    return await answer_streamed(request, engine, [asked], answer, wants_usage_chunk=body.wants_usage_chunk)
