"""`/v1/classifications`: a tuned encoder sorts texts, or their words, into the classes it was tuned on."""

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from service.api.abilities import check_classifies
from service.api.answers.classifications import classification, classification_request
from service.api.answers.tally import Heading
from service.api.auth import Inferrer
from service.api.parts import UsesParts
from service.api.routes.models import resolve
from service.api.schemas.classifications import Classification, ClassificationBody
from service.api.strict_json import StrictJsonRoute

router = APIRouter(route_class=StrictJsonRoute)


@router.post(
    "/classifications",
    operation_id="classifications_create",
    summary="Classify texts or words",
    tags=["Classifications"],
)
async def create_classification(
    body: ClassificationBody, caller: Inferrer, parts: UsesParts
) -> Classification:
    """Tunery's own; OpenAI has no such route."""
    model = await run_in_threadpool(resolve, parts, caller.tenant, body.model)
    check_classifies(model)
    asked = classification_request(body, model, caller.tenant.project_id)
    answer = await parts.engine.classify(asked)
    return classification(Heading.make("clsf", asked.id, body.model, model), asked, answer)
