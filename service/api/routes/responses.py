"""`/v1/responses`, without state: nothing is stored."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, NoReturn

from fastapi import APIRouter, Request
from starlette.responses import Response

from cluster.contracts.abilities import check_generates
from cluster.contracts.errors import NotFound
from cluster.contracts.generation import GenerationEvent, GenerationRequest
from service.api.http.auth import Inferrer
from service.api.inference.answers.chat import chat_answer
from service.api.inference.answers.prompts import chat_request
from service.api.inference.answers.response_answer import ResponseAnswer
from service.api.inference.answers.response_request import ResponseRequest, response_request
from service.api.inference.context import InferenceRoute, UsesInference
from service.api.inference.engine import Generator
from service.api.inference.gateway import EVENTS, answer_streamed, answer_whole
from service.api.inference.models import resolve_model
from service.api.schemas.base import Deleted
from service.api.schemas.response_events import RESPONSE_EVENTS
from service.api.schemas.responses import ModelResponse, ResponsesBody
from service.api.state import UsesAppState

router = APIRouter(route_class=InferenceRoute, tags=["Responses"])

_EVENTS: dict[str, Any] = {
    "schema": {"oneOf": [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in RESPONSE_EVENTS]}
}


@router.post(
    "/responses",
    operation_id="responses_create",
    summary="Answer a conversation, in the form of OpenAI's Responses API",
    response_model=ModelResponse,
    responses={200: {"content": {"text/event-stream": _EVENTS}}},
)
async def create(
    body: ResponsesBody, request: Request, caller: Inferrer, state: UsesAppState, inference: UsesInference
) -> Response:
    name, model = await resolve_model(state, caller, body.model)
    check_generates(model)
    translated = response_request(body)
    with translated.renaming_errors():
        engine_request = chat_request(translated.chat, model, caller.tenant.project_id)
        admitted = await inference.admit(request, caller, name, [engine_request])
    chat = chat_answer(translated.chat, engine_request, name)
    answer = ResponseAnswer(body, chat, engine_request.sampling, id_=engine_request.id, model=name)
    engine = _Renaming(admitted, translated)
    if not body.stream:
        return await answer_whole(request, engine, [engine_request], answer)
    return await answer_streamed(request, engine, [engine_request], answer, EVENTS)


@router.get(
    "/responses/{response_id}",
    operation_id="responses_retrieve",
    summary="Always 404, because nothing is stored",
    response_model=ModelResponse,
)
async def retrieve(response_id: str, caller: Inferrer) -> NoReturn:
    raise _not_stored(response_id)


@router.delete(
    "/responses/{response_id}",
    operation_id="responses_delete",
    summary="Always 404, because nothing is stored",
    response_model=Deleted,
)
async def delete(response_id: str, caller: Inferrer) -> NoReturn:
    raise _not_stored(response_id)


@dataclass(frozen=True)
class _Renaming:
    """An engine whose errors name the parameters of the response."""

    engine: Generator
    translated: ResponseRequest

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent]:
        with self.translated.renaming_errors():
            async with aclosing(self.engine.generate(request)) as events:
                async for event in events:
                    yield event


def _not_stored(response_id: str) -> NotFound:
    return NotFound(f"Response with id '{response_id:.128}' not found: this server stores no responses.")
