"""`/v1/classifications`: a tuned encoder sorts texts, or their words, into the classes it was tuned on."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from cluster.contracts.abilities import check_classifies
from service.api.http.auth import Inferrer
from service.api.inference.answers.classifications import classification, classification_request
from service.api.inference.answers.tally import Heading
from service.api.inference.gateway import answer_once
from service.api.inference.serving import ServingRoute, UsesServing
from service.api.routes.models import resolve
from service.api.schemas.classifications import Classification, ClassificationBody
from service.api.state import UsesParts

router = APIRouter(route_class=ServingRoute)


@router.post(
    "/classifications",
    operation_id="classifications_create",
    summary="Classify texts or words",
    tags=["Classifications"],
    response_model=Classification,
)
async def create_classification(
    body: ClassificationBody, request: Request, caller: Inferrer, parts: UsesParts, serving: UsesServing
) -> Response:
    """Tunery's own; OpenAI has no such route."""
    model = await resolve(parts, caller.tenant, body.model)
    check_classifies(model)
    asked = classification_request(body, model, caller.tenant.project_id)
    heading = Heading.make("clsf", asked.id, body.model, model)

    async def classify() -> str:
        answer = await serving.for_caller(caller, body.model).classify(asked)
        return classification(heading, asked, answer).model_dump_json()

    return await answer_once(request, classify())
