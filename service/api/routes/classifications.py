"""`/v1/classifications`: a tuned encoder classifies texts or words."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from cluster.contracts.abilities import check_classifies
from service.api.http.auth import Inferrer
from service.api.inference.answers.classifications import classification, classification_request
from service.api.inference.answers.response_meta import ResponseMeta
from service.api.inference.context import InferenceRoute, UsesInference
from service.api.inference.gateway import answer_once
from service.api.inference.models import resolve_model
from service.api.schemas.classifications import Classification, ClassificationBody
from service.api.state import UsesAppState

router = APIRouter(route_class=InferenceRoute)


@router.post(
    "/classifications",
    operation_id="classifications_create",
    summary="Classify texts or words",
    tags=["Classifications"],
    response_model=Classification,
)
async def create_classification(
    body: ClassificationBody,
    request: Request,
    caller: Inferrer,
    state: UsesAppState,
    inference: UsesInference,
) -> Response:
    """A Tunery extension; OpenAI has no such route."""
    name, model = await resolve_model(state, caller, body.model)
    check_classifies(model)
    engine_request = classification_request(body, model, caller.tenant.project_id)
    engine = await inference.admit(request, caller, name, [engine_request])
    meta = ResponseMeta.make("clsf", engine_request.id, name, model)

    async def classify() -> str:
        answer = await engine.classify(engine_request)
        return classification(meta, engine_request, answer).model_dump_json()

    return await answer_once(request, classify())
